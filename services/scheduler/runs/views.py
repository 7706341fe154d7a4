"""The JSON of runs, stages and chains. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import JsonObject, ReasonJson, Time, response_shape
from libs.common.identity import ANONYMOUS
from libs.common.times import iso_time
from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.run import Run, RunStatus
from services.scheduler.model.task import Task
from services.scheduler.runs.pending_reason import NO_SNAPSHOT, QueueSnapshot

StageStatus = Literal["waiting", "queued", "running", "succeeded", "failed", "canceled", "skipped", "stopped"]
STAGE_STATUS: dict[str, StageStatus] = {"ready": "queued", "claimed": "running", "publishing": "running"}
STARTING = reason("starting")
WAITS_FOR_INPUTS = reason("inputs", "waits for earlier stages")
RunId = Annotated[str, Field(examples=["r_0mdk3q8v7x2w"])]
Pipeline = Annotated[str, Field(examples=["train"])]


@response_shape
class RunReasonJson(ReasonJson):
    """Why a run or a stage waits, failed or was stopped."""

    exit_code: NotRequired[int]
    signal: NotRequired[int]
    """The signal that ended the process."""
    log_tail: NotRequired[list[str]]
    status: NotRequired[int]
    """The HTTP status of a component's response, as are `errors`, `error_id` and `error` parts of it."""
    errors: NotRequired[list[JsonObject]]
    error_id: NotRequired[str]
    error: NotRequired[str]
    """Type and text of the exception; for owners of the app."""


@response_shape
class ReusedResultJson(TypedDict):
    """The stage whose result was used again; of another user's run only its name."""

    stage: str
    run: NotRequired[str]
    token: NotRequired[int]


@response_shape
class StageJson(TypedDict):
    """A stage of a run."""

    name: str
    status: StageStatus
    reason: RunReasonJson | None
    attempt: int
    progress: list[float] | None
    """Done and in all, as the stage reports it."""
    phase: str | None
    """What its worker does, such as `pulling`."""
    detail: str | None
    log_tail: list[str]
    usage: Mapping[str, Any] | None
    """`duration` and `cpu_seconds` in seconds, `peak_memory` in bytes."""
    reused: ReusedResultJson | None
    started_at: Time | None
    finished_at: Time | None


@response_shape
class ChainRunJson(TypedDict):
    """A run of the same chain; one that has not been started has no id."""

    id: RunId | None
    pipeline: Pipeline
    status: RunStatus | Literal["waiting"]
    self: str | None


@response_shape
class RunLinksJson(TypedDict):
    """Paths of the run."""

    self: str
    cancel: str
    retry: str
    logs: str
    events: str
    deliveries: str
    outputs: dict[str, str]


@response_shape
class RunJson(TypedDict):
    """One execution of a pipeline, or of one prediction that its caller does not wait for."""

    id: RunId
    pipeline: Pipeline
    user: Annotated[str, Field(examples=["alice"])]
    status: RunStatus
    reason: RunReasonJson | None
    progress: Annotated[list[int], Field(examples=[[1, 2]])]
    """Stages that have succeeded, and all stages."""
    stages: list[StageJson]
    inputs: JsonObject
    outputs: dict[str, str]
    """Folders that outputs are published to, by variable."""
    labels: dict[str, str]
    priority: int
    attempt: int
    chain: list[ChainRunJson]
    """Every run of the chain in order; empty for a run without a chain."""
    result: JsonObject | None
    """The response of the component, of a prediction; null in lists."""
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    links: RunLinksJson


def run_to_json(
    run: Run,
    tasks: Sequence[Task],
    queue: QueueSnapshot = NO_SNAPSHOT,
    chain_runs: Sequence[Run] = (),
    *,
    full: bool = True,
    owner: bool = False,
) -> RunJson:
    """`queue` explains why a stage waits; `chain_runs` are the runs of its chain.

    A list is not `full`: it omits large fields. Only an `owner` of the app sees messages of exceptions.
    """
    stages = [stage_to_json(task, queue, run.user, owner=owner) for task in tasks]
    done = sum(task.state == "succeeded" for task in tasks)
    why = visible_reason(run.reason, owner=owner)
    if why is None and run.status == "queued":
        why = next((stage_json["reason"] for stage_json in stages if stage_json["status"] == "queued"), None)
        why = why or visible_reason(STARTING, owner=owner)
    address = f"/{run.app}/runs/{run.id}"
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "user": run.user,
        "status": run.status,
        "reason": why,
        "progress": [done, len(stages)],
        "stages": stages,
        "inputs": dict(run.inputs),
        "outputs": dict(run.outputs),
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


def chain_to_json(runs: Sequence[Run]) -> list[ChainRunJson]:
    """Every run of the chain in order, future ones without an id; empty for a run without a chain."""
    started: list[ChainRunJson] = [
        {"id": run.id, "pipeline": run.pipeline, "status": run.status, "self": f"/{run.app}/runs/{run.id}"}
        for run in runs
    ]
    waiting = runs[0].plan.then[len(runs) - 1 :] if runs else ()
    future: list[ChainRunJson] = [
        {"id": None, "pipeline": plan.pipeline, "status": "waiting", "self": None} for plan in waiting
    ]
    return [*started, *future]


def stage_to_json(task: Task, queue: QueueSnapshot, user: str, *, owner: bool) -> StageJson:
    status = STAGE_STATUS.get(task.state) or cast(StageStatus, task.state)
    why = visible_reason(task.reason, owner=owner)
    if task.state == "ready":
        why = visible_reason(queue.pending_reason(task), owner=owner)
    elif task.state == "waiting" and why is None:
        why = visible_reason(WAITS_FOR_INPUTS, owner=owner)
    elif status == "running" and task.phase == "pulling" and why is None:
        why = visible_reason(reason("image_pull", task.detail or ""), owner=owner)
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


def visible_reason(why: Reason | None, *, owner: bool) -> RunReasonJson | None:
    """The reason without the exception's message (`error`), unless for an owner; callers can quote its `error_id`."""
    if why is None:
        return None
    visible = {key: value for key, value in why.to_json().items() if owner or key != "error"}
    return cast(RunReasonJson, visible)


def reused_result(task: Task, user: str) -> ReusedResultJson | None:
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
