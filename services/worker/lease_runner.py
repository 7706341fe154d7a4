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
from libs.common.redaction import redacted
from libs.common.settings import Settings
from services.worker.context import Host
from services.worker.failures import Failed
from services.worker.files import disk, stage_out
from services.worker.held_tasks import Holding, Holdings
from services.worker.lease import Lease
from services.worker.outcome import Outcome
from services.worker.retry import patient
from services.worker.runtime import CannotRun
from services.worker.work.async_prediction import Call
from services.worker.work.instance import Instance
from services.worker.work.monitoring import STOP_GRACE_S
from services.worker.work.stage import Stage

LEAVE_S = 5.0
"""How long a stopping worker cleans up after what has ended."""
REFUSAL_LENGTH = 1000
RETURN_S = 5.0
"""How long a stopping worker tries to hand a task back."""


class Runner:
    """Keeps the lease beside the task's files, so that the next worker of this host can go on."""

    def __init__(self, host: Host, holdings: Holdings, group: asyncio.TaskGroup) -> None:
        self._host, self._holdings, self._group = host, holdings, group
        self._running: set[asyncio.Task[None]] = set()
        self._decided: set[asyncio.Task[Any]] = set()
        """Tasks whose outcome is known: they only report and clean."""

    def begin(self, lease: Lease) -> None:
        if holding := self._holdings.add(lease):
            self._spawn(holding, adopted=False)

    async def leave(self) -> None:
        """No more of this worker; what runs is left as it is, what has ended is brought to its end."""
        if self._decided:
            await asyncio.wait(self._decided, timeout=LEAVE_S)
        for task in self._running:
            task.cancel()

    def _spawn(self, holding: Holding, *, adopted: bool) -> None:
        task = self._group.create_task(self._run(holding, adopted=adopted))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def adopt(self) -> None:
        """What an earlier worker left: what runs goes on, what was being prepared is handed back, the rest goes."""
        known = {container.name for container in await self._host.runtime.listed()}
        for file in sorted(self._host.tasks.glob("*/lease.json")):
            lease = kept(file)
            if lease is None or (holding := self._holdings.add(lease)) is None:
                continue
            if lease.name not in known:
                holding.give("return")
            known.discard(lease.name)
            self._spawn(holding, adopted=True)
        await self._clear(known)

    async def sweep(self) -> None:
        """Containers of this worker that belong to no lease of it: one may have come up after its task was ended."""
        listed = await self._host.runtime.listed()
        held = {
            holding.lease.name for holding in self._holdings.all()
        }  # read after: what is new here is not in the list
        await self._clear({container.name for container in listed} - held)

    async def _clear(self, names: set[str]) -> None:
        for name in sorted(names):
            log.get("worker").info("container without a lease is removed", name=name)
            await self._host.runtime.stop(name, STOP_GRACE_S)
            await self._host.runtime.remove(name)

    async def _run(self, holding: Holding, *, adopted: bool) -> None:
        """A defect in what follows a task ends no other: its lease is let go, and the scheduler gives it to another."""
        try:
            await self._carry_out(holding, adopted=adopted)
        except Exception:  # noqa: BLE001  the traceback is logged
            log.get("worker").exception("task was not brought to its end", task=holding.lease.task)
            self._holdings.drop(holding)

    async def _carry_out(self, holding: Holding, *, adopted: bool) -> None:
        folder = self._host.folder(holding.lease)
        work = work_of(holding.lease)(self._host, holding)
        outcome = plain(await self._outcome(work, adopted=adopted), folder, self._host.settings)
        self._decide()
        if outcome is None or outcome.outcome != "succeeded":  # else it has ended by itself
            await self._end(holding)
        if outcome is not None and (outcome.reason or {}).get("code") == disk.CODE:
            await self._clean(holding.lease.name, folder)  # nobody can take the report on a disk that is full
        if outcome is not None and outcome.outcome != "reused":
            await self._report(holding, outcome)
        await self._clean(holding.lease.name, folder)
        self._holdings.drop(holding)
        if outcome is not None:
            await work.log.end()

    def _decide(self) -> None:
        if task := asyncio.current_task():
            self._decided.add(task)
            task.add_done_callback(self._decided.discard)

    async def _clean(self, name: str, folder: Path) -> None:
        """Whatever remains is this worker's to remove, however long the engine is away."""
        with suppress(CannotRun):  # it was never made
            await patient(lambda: self._host.runtime.reclaim(name, folder), limit=None)
        await patient(lambda: self._host.runtime.remove(name), limit=None)
        await asyncio.to_thread(stage_out.discard, folder)

    async def _outcome(self, work: Stage | Instance | Call, *, adopted: bool) -> Outcome | None:
        """None when the task is no longer ours."""
        holding = work.holding
        doing = asyncio.create_task(self._do(work, adopted=adopted))
        order = asyncio.create_task(holding.ordered())
        try:
            await asyncio.wait([doing, order], return_when=asyncio.FIRST_COMPLETED)
            if holding.order is not None:
                await self._end(holding)
                await work.log.drained()
                return self._ordered(holding, work.log.tail())
            return await doing
        except Failed as failed:
            return Outcome("failed", failed.reason, log_tail=work.log.tail())
        except MeshError as error:
            code = error.code if isinstance(error, CannotRun) else "error"
            outcome = "lost" if code == "lost" else "failed"
            return Outcome(outcome, {"code": code, "detail": error.detail}, log_tail=work.log.tail())
        except OSError as error:
            reason = (disk.lacking(error) or Failed("error", str(error))).reason
            return Outcome("failed", reason, log_tail=work.log.tail())
        except Exception as error:  # noqa: BLE001  a defect fails this task, not the worker; the traceback is logged
            log.get("worker").exception("task broke", task=holding.lease.task)
            return Outcome("failed", {"code": "error", "detail": repr(error)}, log_tail=work.log.tail())
        finally:
            for task in (doing, order):
                task.cancel()
            await asyncio.gather(doing, order, return_exceptions=True)

    async def _do(self, work: Stage | Instance | Call, *, adopted: bool) -> Outcome:
        keep(work.holding.lease, self._host.folder(work.holding.lease))
        return await work.run(adopted=adopted)

    def _ordered(self, holding: Holding, tail: list[str]) -> Outcome | None:
        if holding.order == "gone":
            return None
        if holding.order == "return":
            return Outcome("returned")
        return Outcome("canceled" if holding.lease.kind == "stage" else "stopped", log_tail=tail)

    async def _end(self, holding: Holding) -> None:
        if holding.order is not None:
            holding.show(state="stopping")
        grace = 0.0 if holding.order == "gone" else STOP_GRACE_S
        await patient(lambda: self._host.runtime.stop(holding.lease.name, grace), limit=None)

    async def _report(self, holding: Holding, outcome: Outcome) -> None:
        """Repeated until it is answered or no longer wanted. A result that cannot be taken is a failure itself."""
        try:
            await self._told(holding, outcome)
        except (Conflict, NotFound) as error:
            log.get("worker").info("result is not wanted", task=holding.lease.task, why=error.detail)
        except (MeshError, TypeError) as error:  # refused, or no JSON
            log.get("worker").error("result is refused", task=holding.lease.task, why=str(error))
            if outcome.outcome == "returned":
                return
            refused = {"code": "output", "detail": f"the stage's result cannot be taken: {error}"[:REFUSAL_LENGTH]}
            with suppress(MeshError):
                await self._told(holding, Outcome("failed", refused))

    async def _told(self, holding: Holding, outcome: Outcome) -> None:
        """Raises what the scheduler answered, TypeError when the outcome cannot be written."""
        body = {
            "worker": self._host.worker,
            "token": holding.lease.token,
            **asdict(outcome),
            "progress": holding.progress,
        }
        path = f"/internal/tasks/{holding.lease.task}/report"
        limit = RETURN_S if outcome.outcome == "returned" else None
        calling = asyncio.create_task(patient(lambda: self._host.peers.scheduler.post(path, body), limit))
        try:
            while not calling.done() and holding.order != "gone":
                await asyncio.wait([calling], timeout=1.0)
            if calling.done():
                await calling
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)


def work_of(lease: Lease) -> type[Stage | Instance | Call]:
    if lease.kind == "instance":
        return Instance
    return Call if lease.spec.get("call") else Stage


def plain(outcome: Outcome | None, folder: Path, settings: Settings) -> Outcome | None:
    """Its reason without what is of this worker alone: links that allow something, and folders of its host."""
    if outcome is None or outcome.reason is None:
        return outcome
    detail = redacted(str(outcome.reason.get("detail") or "")).replace(f"{folder}/", "")
    for place in (settings.scratch_folder, settings.data):
        detail = detail.replace(f"{place}/", "…/")
    return replace(outcome, reason={**outcome.reason, "detail": detail})


def kept(file: Path) -> Lease | None:
    """None, and its folder is gone, when the host went down before all of it was on the disk."""
    try:
        return Lease.of(json.loads(file.read_text()))
    except ValueError:
        log.get("worker").warning("a lease cannot be read; what belongs to it is removed", file=str(file))
        stage_out.discard(file.parent)
        return None


def keep(lease: Lease, folder: Path) -> None:
    """Only for this user's eyes: it holds the instance's token."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "lease.json.new"
    with open(aside, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        json.dump(asdict(lease), file)
    aside.rename(folder / "lease.json")
