"""Serializers: the JSON of runs, stages, instances, workers and schedules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from libs.common.bus import DeadLetter, Queue
from libs.common.identity import ANONYMOUS
from libs.common.times import iso_time
from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.run import Run
from services.scheduler.model.schedule import Schedule
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker
from services.scheduler.runs.pending_reason import NO_SNAPSHOT, QueueSnapshot

STAGE_STATUS = {"ready": "queued", "claimed": "running", "publishing": "running"}


def run_to_json(
    run: Run,
    tasks: Sequence[Task],
    queue: QueueSnapshot = NO_SNAPSHOT,
    chain_runs: Sequence[Run] = (),
    *,
    full: bool = True,
    owner: bool = False,
) -> dict[str, Any]:
    """`queue` explains why a stage waits; `chain_runs` are the runs of its chain.

    A list is not `full`: it omits large fields. Only an `owner` of the app sees messages of exceptions.
    """
    stages = [stage_to_json(task, queue, run.user, owner=owner) for task in tasks]
    done = sum(task.state == "succeeded" for task in tasks)
    why = visible_reason(run.reason, owner=owner)
    if why is None and run.status == "queued":
        why = next(
            (stage_json["reason"] for stage_json in stages if stage_json["status"] == "queued"),
            reason("starting").to_json(),
        )
    address = f"/{run.app}/runs/{run.id}"
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "user": run.user,
        "status": run.status,
        "reason": why,
        "progress": [done, len(stages)],
        "stages": stages,
        "inputs": run.inputs,
        "outputs": run.outputs,
        "labels": run.labels,
        "priority": run.priority,
        "attempt": run.attempt,
        "chain": chain_to_json(chain_runs),
        "result": prediction_response(tasks) if full else None,
        "created_at": iso_time(run.created_at),
        "started_at": iso_time(run.started_at),
        "finished_at": iso_time(run.finished_at),
        "links": {
            "self": address,
            "cancel": f"{address}/cancel",
            "retry": f"{address}/retry",
            "logs": f"{address}/logs",
            "events": f"{address}/events",
            "deliveries": f"{address}/deliveries",
            "outputs": {name: f"{address}/outputs/{name}" for name in run.plan.outputs},
        },
    }


def prediction_response(tasks: Iterable[Task]) -> Any:
    """The response of the component, for an async prediction."""
    return next((task.result.answer for task in tasks if task.result and task.result.answer), None)


def chain_to_json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every run of the chain in order, future ones without an id; empty for a run without a chain."""
    started = [
        {"id": run.id, "pipeline": run.pipeline, "status": run.status, "self": f"/{run.app}/runs/{run.id}"}
        for run in runs
    ]
    waiting = runs[0].plan.then[len(runs) - 1 :] if runs else ()
    return [
        *started,
        *({"id": None, "pipeline": plan.pipeline, "status": "waiting", "self": None} for plan in waiting),
    ]


def stage_to_json(task: Task, queue: QueueSnapshot, user: str, *, owner: bool) -> dict[str, Any]:
    status = STAGE_STATUS.get(task.state, task.state)
    why = visible_reason(task.reason, owner=owner)
    if task.state == "ready":
        why = queue.pending_reason(task).to_json()
    elif task.state == "waiting" and why is None:
        why = reason("inputs", "waits for earlier stages").to_json()
    elif status == "running" and task.phase == "pulling" and why is None:
        why = reason("image_pull", task.detail or "").to_json()
    return {
        "name": task.name,
        "status": status,
        "reason": why,
        "attempt": task.attempt,
        "progress": [int(n) if n == int(n) else n for n in task.progress] if task.progress else None,
        "phase": task.phase if status == "running" else None,
        "detail": task.detail if status == "running" else None,
        "log_tail": task.log_tail or [],
        "usage": task.result.usage if task.result else None,
        "reused": reused_result(task, user),
        "started_at": iso_time(task.started_at),
        "finished_at": iso_time(task.finished_at),
    }


def visible_reason(why: Reason | None, *, owner: bool) -> dict[str, Any] | None:
    """The reason without the exception's message (`error`), unless for an owner; callers can quote its `error_id`."""
    if why is None:
        return None
    return {key: value for key, value in why.to_json().items() if owner or key != "error"}


def reused_result(task: Task, user: str) -> dict[str, Any] | None:
    """The source of a reused result. Only the user of that run sees its id, which may be all that protects it."""
    source = task.result.reused if task.result else None
    if source is None:
        return None
    if user != source.user or user == ANONYMOUS:
        return {"stage": source.stage}
    return {"run": source.run, "stage": source.stage, "token": source.token}


def run_etag(run: Run) -> str:
    return version_etag(run.id, run.version)


def version_etag(run: str, version: int) -> str:
    return f'"{run}-{version}"'


def component_to_json(name: str, tasks: Sequence[Task], *, asleep: bool = False) -> dict[str, Any]:
    """A component's status from its open instances; `asleep`: scaled to zero."""
    healthy = [task for task in tasks if task.is_healthy]
    failed = next((task.reason for task in tasks if task.reason), None)
    unhealthy = next((task for task in tasks if task.state == "claimed" and task.phase == "unhealthy"), None)
    refusal = reason("unhealthy", unhealthy.detail or "") if unhealthy is not None else None
    if healthy:
        status = "healthy"
    elif any(task.failures for task in tasks):
        status = "failing"
    elif tasks:
        status = "waiting" if failed else "unhealthy" if refusal else "starting"
    else:
        status = "asleep" if asleep else "stopped"
    return {
        "name": name,
        "status": status,
        "reason": None if healthy else _without_log_tail(failed or refusal),
        "instances": [instance_to_json(task) for task in tasks],
        "error": failed.detail if failed and not healthy else None,
        "log_tail": next((task.log_tail for task in tasks if task.log_tail), []),
    }


def instance_to_json(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "status": task.phase if task.state == "claimed" else task.state,
        "worker": task.worker,
        "reason": _without_log_tail(task.reason),
        "detail": task.detail,
        "attempt": task.attempt,
        "started_at": iso_time(task.started_at),
    }


def _without_log_tail(why: Reason | None) -> dict[str, Any] | None:
    return None if why is None else {key: value for key, value in why.to_json().items() if key != "log_tail"}


def worker_to_json(worker: Worker, held: Iterable[Task], now: float) -> dict[str, Any]:
    return {
        "name": worker.name,
        "host": worker.host,
        "classes": worker.classes,
        "slots": worker.slots,
        "free": worker.free,
        "labels": worker.labels,
        "draining": worker.draining,
        "alive": worker.is_alive(now),
        "seen_at": iso_time(worker.seen_at),
        "tasks": [
            {"id": task.id, "app": task.app, "kind": task.kind, "name": task.name, "run": task.run} for task in held
        ],
    }


def schedule_to_json(schedule: Schedule) -> dict[str, Any]:
    return {
        "pipeline": schedule.pipeline,
        **schedule.spec,
        "paused": schedule.paused,
        "next_at": None if schedule.paused else iso_time(schedule.next_at),
        "last_at": iso_time(schedule.last_at),
        "last_run": schedule.last_run,
        "problem": schedule.problem,
    }


def queue_to_json(
    queue: Queue, depth: Mapping[str, Any] | None, letters: Iterable[DeadLetter], now: float
) -> dict[str, Any]:
    """`depth`: None when no task waits."""
    oldest = depth["oldest"] if depth else None
    return {
        "name": queue.name,
        "depth": depth["depth"] if depth else 0,
        "oldest": iso_time(oldest),
        "oldest_s": None if oldest is None else round(now - oldest, 1),
        "dead": sum(queue.accepts(letter.key) for letter in letters),
    }


def dead_letter_to_json(letter: DeadLetter) -> dict[str, Any]:
    return {"key": letter.key, "reason": letter.reason, "body": letter.body[:1000].decode(errors="replace")}
