"""Runs and instances as callers see them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from libs.common.bus import Letter
from libs.common.bus import Queue as Line
from libs.common.identity import ANONYMOUS
from libs.common.times import iso
from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.run import Run
from services.scheduler.model.schedule import Schedule
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker
from services.scheduler.runs.pending_reason import EMPTY, Queue

STAGE_STATUS = {"ready": "queued", "claimed": "running", "publishing": "running"}


def run(
    found: Run,
    tasks: Sequence[Task],
    queue: Queue = EMPTY,
    chained: Sequence[Run] = (),
    *,
    whole: bool = True,
    owner: bool = False,
) -> dict[str, Any]:
    """`queue` explains why a stage waits; `chained` are the runs of its chain.

    In a list it is not `whole`: what may be large is left out. An `owner` of the app sees what a function raised.
    """
    stages = [stage(task, queue, found.user, owner=owner) for task in tasks]
    done = sum(task.state == "succeeded" for task in tasks)
    why = told(found.reason, owner=owner)
    if why is None and found.status == "queued":
        why = next((one["reason"] for one in stages if one["status"] == "queued"), reason("starting"))
    address = f"/{found.app}/runs/{found.id}"
    return {
        "id": found.id,
        "pipeline": found.pipeline,
        "user": found.user,
        "status": found.status,
        "reason": why,
        "progress": [done, len(stages)],
        "stages": stages,
        "inputs": found.inputs,
        "outputs": found.outputs,
        "labels": found.labels,
        "priority": found.priority,
        "attempt": found.attempt,
        "chain": chain(chained),
        "result": answer(tasks) if whole else None,
        "created_at": iso(found.created_at),
        "started_at": iso(found.started_at),
        "finished_at": iso(found.finished_at),
        "links": {
            "self": address,
            "cancel": f"{address}/cancel",
            "retry": f"{address}/retry",
            "logs": f"{address}/logs",
            "events": f"{address}/events",
            "deliveries": f"{address}/deliveries",
            "outputs": {name: f"{address}/outputs/{name}" for name in found.plan["outputs"]},
        },
    }


def answer(tasks: Iterable[Task]) -> Any:
    """What a component said, of a prediction that was made a run."""
    return next((task.result["answer"] for task in tasks if task.result and task.result.get("answer")), None)


def chain(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every run of the chain in order, those that are still to come without an id; empty for a run that is alone."""
    begun = [
        {"id": one.id, "pipeline": one.pipeline, "status": one.status, "self": f"/{one.app}/runs/{one.id}"}
        for one in runs
    ]
    to_come = runs[0].plan["then"][len(runs) - 1 :] if runs else ()
    return [*begun, *({"id": None, "pipeline": one["pipeline"], "status": "waiting", "self": None} for one in to_come)]


def stage(task: Task, queue: Queue, user: str, *, owner: bool) -> dict[str, Any]:
    status = STAGE_STATUS.get(task.state, task.state)
    why = told(task.reason, owner=owner)
    if task.state == "ready":
        why = queue.why(task)
    elif task.state == "waiting" and why is None:
        why = reason("inputs", "waits for stages before it")
    elif status == "running" and task.phase == "pulling" and why is None:
        why = reason("image_pull", task.detail or "")
    return {
        "name": task.name,
        "status": status,
        "reason": why,
        "attempt": task.attempt,
        "progress": [int(n) if n == int(n) else n for n in task.progress] if task.progress else None,
        "phase": task.phase if status == "running" else None,
        "detail": task.detail if status == "running" else None,
        "log_tail": task.log_tail or [],
        "usage": (task.result or {}).get("usage"),
        "reused": reused(task, user),
        "started_at": iso(task.started_at),
        "finished_at": iso(task.finished_at),
    }


def told(why: Reason | None, *, owner: bool) -> Reason | None:
    """An exception's own words (`error`) are the owners'; anybody may quote its `error_id` to them."""
    return why if owner or why is None else {key: value for key, value in why.items() if key != "error"}


def reused(task: Task, user: str) -> dict[str, Any] | None:
    """Whose result the stage took over. The run is told to its own user alone: an id may be all that protects it."""
    source = (task.result or {}).get("reused")
    if source is None:
        return None
    own = user == source.get("user") and user != ANONYMOUS
    return {name: source[name] for name in (("run", "stage", "token") if own else ("stage",))}


def etag(found: Run) -> str:
    return tag(found.id, found.version)


def tag(run: str, version: int) -> str:
    return f'"{run}-{version}"'


def component(name: str, tasks: Sequence[Task], *, asleep: bool = False) -> dict[str, Any]:
    """A component's state from its open instances of the live or starting revision; `asleep`: nobody calls it."""
    healthy = [task for task in tasks if task.is_healthy]
    failed = next((task.reason for task in tasks if task.reason), None)
    unhealthy = next((task for task in tasks if task.state == "claimed" and task.phase == "unhealthy"), None)
    refuses = reason("unhealthy", unhealthy.detail or "") if unhealthy is not None else None
    if healthy:
        status = "healthy"
    elif any(task.failures for task in tasks):
        status = "failing"
    elif tasks:
        status = "waiting" if failed else "unhealthy" if refuses else "starting"
    else:
        status = "asleep" if asleep else "stopped"
    return {
        "name": name,
        "status": status,
        "reason": None if healthy else _short(failed) or refuses,
        "instances": [instance(task) for task in tasks],
        "error": failed["detail"] if failed and not healthy else None,
        "log_tail": next((task.log_tail for task in tasks if task.log_tail), []),
    }


def instance(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "status": task.phase if task.state == "claimed" else task.state,
        "worker": task.worker,
        "reason": _short(task.reason),
        "detail": task.detail,
        "attempt": task.attempt,
        "started_at": iso(task.started_at),
    }


def _short(why: Reason | None) -> Reason | None:
    return None if why is None else {key: value for key, value in why.items() if key != "log_tail"}


def worker(found: Worker, held: Iterable[Task], now: float) -> dict[str, Any]:
    return {
        "name": found.name,
        "host": found.host,
        "classes": found.classes,
        "slots": found.slots,
        "free": found.free,
        "labels": found.labels,
        "draining": found.draining,
        "alive": found.is_alive(now),
        "seen_at": iso(found.seen_at),
        "tasks": [
            {"id": task.id, "app": task.app, "kind": task.kind, "name": task.name, "run": task.run} for task in held
        ],
    }


def schedule(found: Schedule) -> dict[str, Any]:
    return {
        "pipeline": found.pipeline,
        **found.spec,
        "paused": found.paused,
        "next_at": None if found.paused else iso(found.next_at),
        "last_at": iso(found.last_at),
        "last_run": found.last_run,
        "problem": found.problem,
    }


def queue(mine: Line, depth: Mapping[str, Any] | None, letters: Iterable[Letter], now: float) -> dict[str, Any]:
    """`depth` None: nothing waits."""
    oldest = depth["oldest"] if depth else None
    return {
        "name": mine.name,
        "depth": depth["depth"] if depth else 0,
        "oldest": iso(oldest),
        "oldest_s": None if oldest is None else round(now - oldest, 1),
        "dead": sum(mine.takes(letter.key) for letter in letters),
    }


def letter(found: Letter) -> dict[str, Any]:
    return {"key": found.key, "reason": found.reason, "body": found.body[:1000].decode(errors="replace")}
