"""Runs a lease from start to report: runs its work, applies orders, reports the outcome, cleans up."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from libs.common import log
from libs.common.errors import Conflict, MeshError, NotFound
from libs.common.protocol.report import FailureReason
from libs.common.redaction import redact_links
from libs.common.secret_redaction import SecretRedactor
from libs.common.settings import Settings
from services.worker.context import WorkerContext
from services.worker.failures import TaskFailed
from services.worker.files import disk, stage_out
from services.worker.held_tasks import HeldTask, HeldTasks
from services.worker.lease import Lease
from services.worker.outcome import Outcome
from services.worker.retry import retry
from services.worker.runtime import RuntimeFailure
from services.worker.work.monitoring import STOP_GRACE_S
from services.worker.work.task_kinds import Work, create_work

SHUTDOWN_CLEANUP_S = 5.0
"""How long a stopping worker waits for reports and clean-up of ended tasks."""
MAX_ERROR_LENGTH = 1000
HAND_BACK_TIMEOUT_S = 5.0
"""How long a stopping worker tries to hand back a task."""


class LeaseRunner:
    """Saves each lease in the task's folder, so that the next worker on this host can adopt the task."""

    def __init__(self, context: WorkerContext, held_tasks: HeldTasks, group: asyncio.TaskGroup) -> None:
        self._context, self._held_tasks, self._group = context, held_tasks, group
        self._running: set[asyncio.Task[None]] = set()
        self._decided: set[asyncio.Task[object]] = set()
        """Tasks whose outcome is known: they only report and clean up."""

    def start_lease(self, lease: Lease) -> None:
        if held_task := self._held_tasks.add(lease):
            self._start_task(held_task, adopted=False)

    async def detach(self) -> None:
        """Stop the loops of this worker. Running containers stay; ended tasks are reported and cleaned up."""
        if self._decided:
            await asyncio.wait(self._decided, timeout=SHUTDOWN_CLEANUP_S)
        for task in self._running:
            task.cancel()

    def _start_task(self, held_task: HeldTask, *, adopted: bool) -> None:
        task = self._group.create_task(self._run_guarded(held_task, adopted=adopted))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def adopt_existing(self) -> None:
        """Adopt the tasks of an earlier worker: continue running ones, hand back unstarted ones, remove orphans."""
        orphans = {container.name for container in await self._context.runtime.list_containers()}
        for file in sorted(self._context.tasks_folder.glob("*/lease.json")):
            lease = load_lease(file)
            if lease is None or (held_task := self._held_tasks.add(lease)) is None:
                continue
            if lease.container_name not in orphans:
                held_task.set_order("return")
            orphans.discard(lease.container_name)
            log.get("worker").info("Task adopted", **lease.log_fields)
            self._start_task(held_task, adopted=True)
        await self._remove_containers(orphans)

    async def remove_orphans(self) -> None:
        """Remove containers of this worker without a lease: one may have started after its task had ended."""
        containers = await self._context.runtime.list_containers()
        # held tasks are read after the list: newer ones are not in it
        held = {held_task.lease.container_name for held_task in self._held_tasks.list_tasks()}
        await self._remove_containers({container.name for container in containers} - held)

    async def _remove_containers(self, names: set[str]) -> None:
        for name in sorted(names):
            log.get("worker").info("Removing orphaned container", name=name)
            await self._context.runtime.stop(name, STOP_GRACE_S)
            await self._context.runtime.remove(name)

    async def _run_guarded(self, held_task: HeldTask, *, adopted: bool) -> None:
        """A defect in one task must not end the others: its lease is dropped, and the scheduler reassigns the task."""
        try:
            await self._run_lease(held_task, adopted=adopted)
        except Exception:  # noqa: BLE001  the traceback is logged
            log.get("worker").exception("Failed to finish task; dropping its lease", task=held_task.lease.task)
            self._held_tasks.remove(held_task)

    async def _run_lease(self, held_task: HeldTask, *, adopted: bool) -> None:
        folder = self._context.task_folder(held_task.lease)
        work = create_work(self._context, held_task)
        if adopted:
            await self._context.load_hidden_values(held_task)
        outcome = await self._wait_for_outcome(work, adopted=adopted)
        outcome = redact_reason(outcome, folder, self._context.settings, held_task.redactor)
        self._mark_decided()
        log_outcome(held_task.lease, outcome)
        if outcome is None or outcome.outcome != "succeeded":  # else the container has ended
            await self._stop_container(held_task)
        if outcome is not None and outcome.failure_code == disk.DISK_FULL:
            # first: an embedded scheduler cannot store the report on a full disk
            await self._clean_up(held_task.lease.container_name, folder)
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
        """Remove container and files; retry for as long as the engine is unavailable."""
        with suppress(RuntimeFailure):  # it was never created
            await retry(lambda: self._context.runtime.take_ownership(name, folder), timeout=None)
        await retry(lambda: self._context.runtime.remove(name), timeout=None)
        await asyncio.to_thread(stage_out.remove_tree, folder)

    async def _wait_for_outcome(self, work: Work, *, adopted: bool) -> Outcome | None:
        """Run the work until it ends or an order arrives. None: the lease is over, report nothing."""
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
            reason: FailureReason = {"code": code, "detail": error.detail}
            return Outcome("lost" if code == "lost" else "failed", reason, log_tail=work.log.read_tail())
        except OSError as error:
            reason = (disk.disk_full_failure(error) or TaskFailed("error", str(error))).reason
            return Outcome("failed", reason, log_tail=work.log.read_tail())
        except Exception as error:  # noqa: BLE001  a defect fails this task, not the worker; the traceback is logged
            log.get("worker").exception("Task crashed in the worker", task=held_task.lease.task)
            return Outcome("failed", {"code": "error", "detail": repr(error)}, log_tail=work.log.read_tail())
        finally:
            for task in (running, order):
                task.cancel()
            await asyncio.gather(running, order, return_exceptions=True)

    async def _run_work(self, work: Work, *, adopted: bool) -> Outcome:
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
        """Retry until the scheduler answers or the lease is over. An outcome that it rejects becomes a failure."""
        try:
            await self._send_report(held_task, outcome)
        except (Conflict, NotFound) as error:
            log.get("worker").info(
                "Scheduler rejected the report: lease is stale", task=held_task.lease.task, why=error.detail
            )
        except (MeshError, TypeError, ValueError) as error:  # rejected, or not JSON
            log.get("worker").error("Scheduler rejected the result", task=held_task.lease.task, why=str(error))
            if outcome.outcome == "returned":
                return
            detail = f"the scheduler rejected the result: {error}"[:MAX_ERROR_LENGTH]
            with suppress(MeshError):
                await self._send_report(held_task, Outcome("failed", {"code": "output", "detail": detail}))

    async def _send_report(self, held_task: HeldTask, outcome: Outcome) -> None:
        """Raises the scheduler's error, or TypeError or ValueError if the outcome is not JSON."""
        report = outcome.to_report(self._context.worker, held_task.lease.token, held_task.status.progress).to_json()
        path = f"/internal/tasks/{held_task.lease.task}/report"
        limit = HAND_BACK_TIMEOUT_S if outcome.outcome == "returned" else None
        sending = asyncio.create_task(retry(lambda: self._context.peers.scheduler.post(path, report), limit))
        try:
            while not sending.done() and held_task.order != "gone":
                await asyncio.wait([sending], timeout=1.0)
            if sending.done():
                await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def log_outcome(lease: Lease, outcome: Outcome | None) -> None:
    """Log how the task ended; None: its lease was lost."""
    logger = log.get("worker")
    if outcome is None:
        logger.warning("Lease lost; discarding the task", **lease.log_fields)
        return
    event = "Instance stopped" if lease.kind == "instance" else "Task ended"
    why = None if outcome.reason is None else outcome.reason["detail"]
    logger.info(event, **lease.log_fields, outcome=outcome.outcome, code=outcome.failure_code, why=why)


def redact_reason(
    outcome: Outcome | None, folder: Path, settings: Settings, redactor: SecretRedactor
) -> Outcome | None:
    """Remove values of Secrets, signed links and paths of this host from the reason."""
    if outcome is None or outcome.reason is None:
        return outcome
    detail = redact_links(redactor.redact(outcome.reason["detail"])).replace(f"{folder}/", "")
    for root in (settings.scratch_folder, settings.data):
        detail = detail.replace(f"{root}/", "…/")
    return replace(outcome, reason={**outcome.reason, "detail": detail})


def load_lease(file: Path) -> Lease | None:
    """Read a saved lease. A truncated file (the host went down) returns None and its folder is removed."""
    try:
        return Lease.from_json(json.loads(file.read_text()))
    except ValueError:
        log.get("worker").warning("Saved lease is unreadable; removing its folder", file=str(file))
        stage_out.remove_tree(file.parent)
        return None


def save_lease(lease: Lease, folder: Path) -> None:
    """Write the lease, readable by this user only: it contains the instance's token."""
    folder.mkdir(parents=True, exist_ok=True)
    new_file = folder / "lease.json.new"
    with open(new_file, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        json.dump(lease.document, file)
    new_file.rename(folder / "lease.json")
