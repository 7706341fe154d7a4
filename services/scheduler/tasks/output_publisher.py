"""Output publisher: copies the outputs of finished stages to their targets; then the stage succeeds."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from libs.common.db import Database
from libs.common.errors import MeshError, TooLarge
from libs.common.http.client import ServiceClient
from libs.common.log import get
from libs.common.protocol.publication import Moves
from services.scheduler.db import runs, tasks
from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.task import Task
from services.scheduler.plans import planner
from services.scheduler.tasks import transition_applier, transitions
from services.scheduler.tasks.transition_applier import TransitionApplier

COPY_TIMEOUT_S = 600.0
"""Timeout of one request to databox; a longer publication is requested again and continues."""
WITHDRAW_TIMEOUT_S = 10.0
"""How long a canceled run waits for databox to withdraw its published outputs."""
MAX_CONCURRENT = 32
FIRST_RETRY_S = 1.0
MAX_DETAIL = 1000
MAX_RETRY_S = 60.0
"""Longest delay between two tries of a publication that fails with a retryable error."""


@dataclass(frozen=True)
class RetryDelay:
    """Exponential back-off of one publication."""

    failures: int
    until: float
    """Seconds of the monotonic clock."""

    @classmethod
    def next_delay(cls, previous: RetryDelay | None, now: float) -> RetryDelay:
        failures = previous.failures + 1 if previous else 1
        return cls(failures, now + min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** (failures - 1)))


class OutputPublisher:
    """Publishes concurrently: a publication of many gigabytes does not delay others."""

    def __init__(self, db: Database, databox: ServiceClient, applier: TransitionApplier) -> None:
        self._db, self._databox, self._applier = db, databox, applier
        self._in_progress: dict[str, tuple[Task, asyncio.Task[None]]] = {}
        """By task id: the task as it was at the start, and its job."""
        self._delays: dict[str, RetryDelay] = {}

    async def run_once(self) -> None:
        """Start due publications up to `MAX_CONCURRENT`; cancel those of canceled runs."""
        async with self._db.read() as conn:
            publishing = {task.id: task for task in await tasks.list_by_state(conn, "stage", "publishing")}
        self._delays = {task: delay for task, delay in self._delays.items() if task in publishing}
        for started, job in self._in_progress.values():
            if started.id in publishing and publishing[started.id].stop_requested and not started.stop_requested:
                job.cancel()  # its end wakes the loop, which withdraws the outputs
        due_tasks = [task for task in publishing.values() if task.id not in self._in_progress and self._is_due(task)]
        for task in due_tasks[: MAX_CONCURRENT - len(self._in_progress)]:
            self._in_progress[task.id] = task, asyncio.create_task(self._publish_guarded(task))

    def _is_due(self, task: Task) -> bool:
        delay = self._delays.get(task.id)
        return task.stop_requested or delay is None or delay.until <= time.monotonic()

    async def _publish_guarded(self, task: Task) -> None:
        try:
            await (_withdraw_outputs if task.stop_requested else _publish_outputs)(
                self._db, self._databox, self._applier, task
            )
        except MeshError as error:
            await self._schedule_retry(task, error.detail)
        except Exception as error:  # noqa: BLE001  a defect in one publication must not stop the others; logged
            get("scheduler").exception("publishing crashed; will retry", task=task.id)
            await self._schedule_retry(task, repr(error))
        finally:
            del self._in_progress[task.id]
            if len(self._in_progress) == MAX_CONCURRENT - 1 or _is_cancelled():
                self._applier.triggers.output_publisher.wake()

    async def _schedule_retry(self, task: Task, message: str) -> None:
        """Delay the next try, and show why in the task's detail."""
        delay = self._delays[task.id] = RetryDelay.next_delay(self._delays.get(task.id), time.monotonic())
        seconds = delay.until - time.monotonic()
        get("scheduler").info("publishing failed; will retry", task=task.id, why=message, failures=delay.failures)
        with suppress(MeshError):
            await _show_problem(self._db, self._applier, task, f"{message}; retrying in {seconds:.0f} s")

    async def close(self) -> None:
        jobs = [job for _, job in self._in_progress.values()]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


def _is_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


async def _publish_outputs(db: Database, databox: ServiceClient, applier: TransitionApplier, task: Task) -> None:
    """Raises MeshError when the error is retryable."""
    async with db.read() as conn:
        run = await runs.get(conn, task.app, task.run or "")
    if run is None:
        return
    columns: dict[str, object] = {"state": "succeeded"}
    moves = Moves(moves=tuple(planner.publication_moves(run, task)))
    try:
        await databox.put(_publication_path(task), moves.to_json(), timeout=COPY_TIMEOUT_S)
    except MeshError as error:
        if error.retryable or not 400 <= error.status < 500:
            raise
        columns = {"state": "failed", "reason": publication_failure(error)}
    await _finish_task(db, applier, task, columns)


async def _withdraw_outputs(db: Database, databox: ServiceClient, applier: TransitionApplier, task: Task) -> None:
    """Withdraw the published outputs of a canceled run; without databox they stay."""
    try:
        await databox.delete(_publication_path(task), timeout=WITHDRAW_TIMEOUT_S)
    except MeshError as error:
        get("scheduler").warning("failed to withdraw the outputs of a canceled run", task=task.id, why=error.detail)
    await _finish_task(db, applier, task, {"state": "canceled", "stop_requested": False})


def _publication_path(task: Task) -> str:
    return f"/internal/apps/{task.app}/publications/{task.id}-{task.token}"


def publication_failure(error: MeshError) -> Reason:
    """The reason of a stage whose outputs databox rejects."""
    cause = reason("quota" if isinstance(error, TooLarge) else "output", error.detail)
    return cause.with_details(**{name: error.extensions[name] for name in error.extensions.keys() - {"code", "detail"}})


async def _finish_task(db: Database, applier: TransitionApplier, task: Task, columns: dict[str, object]) -> None:
    async with db.write() as conn:
        run, current, now = await transition_applier.lock_task(conn, task.id)
        if run is None or current is None or (current.state, current.token) != ("publishing", task.token):
            return
        applied = await applier.apply_transition(conn, run, current, {**columns, "finished_at": now}, now)
    applier.publish_changes(current, run, applied)


async def _show_problem(db: Database, applier: TransitionApplier, task: Task, message: str) -> None:
    async with db.write() as conn:
        run, current, _now = await transition_applier.lock_task(conn, task.id)
        if run is None or current is None or (current.state, current.token) != ("publishing", task.token):
            return
        await tasks.update_task(
            conn, task.id, {"detail": f"{transitions.publishing_detail(run, task)}: {message}"[:MAX_DETAIL]}
        )
    applier.publish_changes(current, run, transition_applier.AppliedTransition())
