"""The life of one lease on this worker: carried out, ended by order, reported, cleaned up."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from libs.common import log
from libs.common.errors import Conflict, MeshError, NotFound
from libs.common.redaction import redact_links
from libs.common.settings import Settings
from services.worker.context import WorkerContext
from services.worker.failures import TaskFailed
from services.worker.files import disk, stage_out
from services.worker.held_tasks import HeldTask, HeldTasks
from services.worker.lease import Lease
from services.worker.outcome import Outcome
from services.worker.retry import retry
from services.worker.runtime import RuntimeFailure
from services.worker.work.async_prediction import AsyncPrediction
from services.worker.work.instance import Instance
from services.worker.work.monitoring import STOP_GRACE_S
from services.worker.work.stage import Stage

SHUTDOWN_CLEANUP_S = 5.0
"""How long a stopping worker cleans up after what has ended."""
MAX_ERROR_LENGTH = 1000
HAND_BACK_TIMEOUT_S = 5.0
"""How long a stopping worker tries to hand a task back."""


class LeaseRunner:
    """Keeps the lease beside the task's files, so that the next worker of this host can go on."""

    def __init__(self, context: WorkerContext, held_tasks: HeldTasks, group: asyncio.TaskGroup) -> None:
        self._context, self._held_tasks, self._group = context, held_tasks, group
        self._running: set[asyncio.Task[None]] = set()
        self._decided: set[asyncio.Task[Any]] = set()
        """Tasks whose outcome is known: they only report and clean."""

    def start_lease(self, lease: Lease) -> None:
        if held_task := self._held_tasks.add(lease):
            self._start_task(held_task, adopted=False)

    async def detach(self) -> None:
        """No more of this worker; what runs is left as it is, what has ended is brought to its end."""
        if self._decided:
            await asyncio.wait(self._decided, timeout=SHUTDOWN_CLEANUP_S)
        for task in self._running:
            task.cancel()

    def _start_task(self, held_task: HeldTask, *, adopted: bool) -> None:
        task = self._group.create_task(self._run_guarded(held_task, adopted=adopted))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def adopt_existing(self) -> None:
        """What an earlier worker left: what runs goes on, what was being prepared is handed back, the rest goes."""
        orphans = {container.name for container in await self._context.runtime.list_containers()}
        for file in sorted(self._context.tasks_folder.glob("*/lease.json")):
            lease = load_lease(file)
            if lease is None or (held_task := self._held_tasks.add(lease)) is None:
                continue
            if lease.container_name not in orphans:
                held_task.set_order("return")
            orphans.discard(lease.container_name)
            self._start_task(held_task, adopted=True)
        await self._remove_containers(orphans)

    async def remove_orphans(self) -> None:
        """Containers of this worker that belong to no lease of it: one may have come up after its task was ended."""
        containers = await self._context.runtime.list_containers()
        held = {
            held_task.lease.container_name for held_task in self._held_tasks.list_tasks()
        }  # read after: what is new here is not in the list
        await self._remove_containers({container.name for container in containers} - held)

    async def _remove_containers(self, names: set[str]) -> None:
        for name in sorted(names):
            log.get("worker").info("container without a lease is removed", name=name)
            await self._context.runtime.stop(name, STOP_GRACE_S)
            await self._context.runtime.remove(name)

    async def _run_guarded(self, held_task: HeldTask, *, adopted: bool) -> None:
        """A defect in what follows a task ends no other: its lease is let go, and the scheduler gives it to another."""
        try:
            await self._run_lease(held_task, adopted=adopted)
        except Exception:  # noqa: BLE001  the traceback is logged
            log.get("worker").exception("task was not brought to its end", task=held_task.lease.task)
            self._held_tasks.remove(held_task)

    async def _run_lease(self, held_task: HeldTask, *, adopted: bool) -> None:
        folder = self._context.task_folder(held_task.lease)
        work = work_class(held_task.lease)(self._context, held_task)
        outcome = redact_reason(await self._wait_for_outcome(work, adopted=adopted), folder, self._context.settings)
        self._mark_decided()
        if outcome is None or outcome.outcome != "succeeded":  # else it has ended by itself
            await self._stop_container(held_task)
        if outcome is not None and (outcome.reason or {}).get("code") == disk.DISK_FULL:
            await self._clean_up(
                held_task.lease.container_name, folder
            )  # nobody can take the report on a disk that is full
        if outcome is not None and outcome.outcome != "reused":
            await self._report_outcome(held_task, outcome)
        await self._clean_up(held_task.lease.container_name, folder)
        self._held_tasks.remove(held_task)
        if outcome is not None:
            await work.log.send_end()

    def _mark_decided(self) -> None:
        if task := asyncio.current_task():
            self._decided.add(task)
            task.add_done_callback(self._decided.discard)

    async def _clean_up(self, name: str, folder: Path) -> None:
        """Whatever remains is this worker's to remove, however long the engine is away."""
        with suppress(RuntimeFailure):  # it was never made
            await retry(lambda: self._context.runtime.take_ownership(name, folder), timeout=None)
        await retry(lambda: self._context.runtime.remove(name), timeout=None)
        await asyncio.to_thread(stage_out.remove_tree, folder)

    async def _wait_for_outcome(self, work: Stage | Instance | AsyncPrediction, *, adopted: bool) -> Outcome | None:
        """None when the task is no longer ours."""
        held_task = work.held_task
        running = asyncio.create_task(self._run_work(work, adopted=adopted))
        order = asyncio.create_task(held_task.wait_for_order())
        try:
            await asyncio.wait([running, order], return_when=asyncio.FIRST_COMPLETED)
            if held_task.order is not None:
                await self._stop_container(held_task)
                await work.log.wait_until_sent()
                return self._ordered_outcome(held_task, work.log.read_tail())
            return await running
        except TaskFailed as failed:
            return Outcome("failed", failed.reason, log_tail=work.log.read_tail())
        except MeshError as error:
            code = error.code if isinstance(error, RuntimeFailure) else "error"
            outcome = "lost" if code == "lost" else "failed"
            return Outcome(outcome, {"code": code, "detail": error.detail}, log_tail=work.log.read_tail())
        except OSError as error:
            reason = (disk.disk_full_failure(error) or TaskFailed("error", str(error))).reason
            return Outcome("failed", reason, log_tail=work.log.read_tail())
        except Exception as error:  # noqa: BLE001  a defect fails this task, not the worker; the traceback is logged
            log.get("worker").exception("task broke", task=held_task.lease.task)
            return Outcome("failed", {"code": "error", "detail": repr(error)}, log_tail=work.log.read_tail())
        finally:
            for task in (running, order):
                task.cancel()
            await asyncio.gather(running, order, return_exceptions=True)

    async def _run_work(self, work: Stage | Instance | AsyncPrediction, *, adopted: bool) -> Outcome:
        save_lease(work.held_task.lease, self._context.task_folder(work.held_task.lease))
        return await work.run(adopted=adopted)

    def _ordered_outcome(self, held_task: HeldTask, tail: list[str]) -> Outcome | None:
        if held_task.order == "gone":
            return None
        if held_task.order == "return":
            return Outcome("returned")
        return Outcome("canceled" if held_task.lease.kind == "stage" else "stopped", log_tail=tail)

    async def _stop_container(self, held_task: HeldTask) -> None:
        if held_task.order is not None:
            held_task.update_status(state="stopping")
        grace = 0.0 if held_task.order == "gone" else STOP_GRACE_S
        await retry(lambda: self._context.runtime.stop(held_task.lease.container_name, grace), timeout=None)

    async def _report_outcome(self, held_task: HeldTask, outcome: Outcome) -> None:
        """Repeated until it is answered or no longer wanted. A result that cannot be taken is a failure itself."""
        try:
            await self._send_report(held_task, outcome)
        except (Conflict, NotFound) as error:
            log.get("worker").info("result is not wanted", task=held_task.lease.task, why=error.detail)
        except (MeshError, TypeError) as error:  # refused, or no JSON
            log.get("worker").error("result is refused", task=held_task.lease.task, why=str(error))
            if outcome.outcome == "returned":
                return
            reason = {"code": "output", "detail": f"the stage's result cannot be taken: {error}"[:MAX_ERROR_LENGTH]}
            with suppress(MeshError):
                await self._send_report(held_task, Outcome("failed", reason))

    async def _send_report(self, held_task: HeldTask, outcome: Outcome) -> None:
        """Raises what the scheduler answered, TypeError when the outcome cannot be written."""
        body = {
            "worker": self._context.worker,
            "token": held_task.lease.token,
            **asdict(outcome),
            "progress": held_task.progress,
        }
        path = f"/internal/tasks/{held_task.lease.task}/report"
        limit = HAND_BACK_TIMEOUT_S if outcome.outcome == "returned" else None
        sending = asyncio.create_task(retry(lambda: self._context.peers.scheduler.post(path, body), limit))
        try:
            while not sending.done() and held_task.order != "gone":
                await asyncio.wait([sending], timeout=1.0)
            if sending.done():
                await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def work_class(lease: Lease) -> type[Stage | Instance | AsyncPrediction]:
    if lease.kind == "instance":
        return Instance
    return AsyncPrediction if lease.spec.get("call") else Stage


def redact_reason(outcome: Outcome | None, folder: Path, settings: Settings) -> Outcome | None:
    """Its reason without what is of this worker alone: links that allow something, and folders of its host."""
    if outcome is None or outcome.reason is None:
        return outcome
    detail = redact_links(str(outcome.reason.get("detail") or "")).replace(f"{folder}/", "")
    for root in (settings.scratch_folder, settings.data):
        detail = detail.replace(f"{root}/", "…/")
    return replace(outcome, reason={**outcome.reason, "detail": detail})


def load_lease(file: Path) -> Lease | None:
    """None, and its folder is gone, when the host went down before all of it was on the disk."""
    try:
        return Lease.from_json(json.loads(file.read_text()))
    except ValueError:
        log.get("worker").warning("a lease cannot be read; what belongs to it is removed", file=str(file))
        stage_out.remove_tree(file.parent)
        return None


def save_lease(lease: Lease, folder: Path) -> None:
    """Only for this user's eyes: it holds the instance's token."""
    folder.mkdir(parents=True, exist_ok=True)
    new_file = folder / "lease.json.new"
    with open(new_file, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        json.dump(asdict(lease), file)
    new_file.rename(folder / "lease.json")
