"""Claims: a worker with a free slot gets a lease of the next ready task.

Lock order as in `tasks.transition_applier`: the run, then its task.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from libs.common import log
from libs.common.db import Database
from libs.common.protocol.build import BuildSpec
from libs.common.protocol.claim import ClaimRequest, ClaimResponse, Lease
from libs.common.protocol.image import ImageSpec
from libs.common.protocol.instance import InstanceSpec
from libs.common.protocol.stage import StageSpec
from libs.common.settings import Settings
from services.scheduler.credential_encryption import instance_token
from services.scheduler.db import Connection, ready_tasks, runs, task_claims, tasks
from services.scheduler.model.reason import reason
from services.scheduler.model.run import Run
from services.scheduler.model.task import ClaimCandidate, ClaimCandidates, Task
from services.scheduler.plans import planner
from services.scheduler.runs import async_prediction
from services.scheduler.tasks.transition_applier import TransitionApplier

MAX_ATTEMPTS = 5
"""How often one request tries again after another worker has claimed its candidate."""
MAX_CANDIDATES = 8
"""Ready tasks that one try reads."""


async def claim_next(
    db: Database, applier: TransitionApplier, settings: Settings, request: ClaimRequest
) -> ClaimResponse:
    """The lease of the next task, which need not be the one that a message named; or no lease."""
    for _ in range(MAX_ATTEMPTS):
        async with db.write() as conn:
            limit = settings.app_stages
            candidates = await ready_tasks.list_next_ready(
                conn,
                request.worker,
                request.classes,
                kinds=list_claimable_kinds(request),
                engine=request.engine,
                limit=limit,
                max_tasks=MAX_CANDIDATES,
            )
            if candidates.draining:
                return ClaimResponse(lease=None, reason=reason("draining", "the worker is draining").to_json())
            claimed = await _claim_first(conn, candidates.tasks, request.worker, candidates.now, settings.lease)
            if claimed is not None:
                lease = await _build_lease(conn, *claimed, candidates.now, settings)
        if claimed is not None:
            applier.notify_claimed(claimed[0], has_more=len(candidates.tasks) > 1)
            if settings.run_log:
                _log_start(claimed[1])
            return ClaimResponse(lease=lease, reason=None, has_more=_has_more(candidates, claimed[0], request.free))
        if not candidates.tasks:
            break
    return ClaimResponse(lease=None, reason=reason("nothing_ready").to_json())


def _has_more(candidates: ClaimCandidates, claimed: Task, free: int) -> bool:
    """Whether the worker could take another one. `free`: its slots before this claim."""
    free_now = free - (claimed.kind == "stage")
    return len(candidates.tasks) > 1 and (free_now > 0 or candidates.has_slotless)


def list_claimable_kinds(request: ClaimRequest) -> list[str]:
    """Every worker takes instances; a stage needs a free slot."""
    stages = ["stage"] if request.free > 0 else []
    return ["instance", *stages, *(kind for kind in ("image", "build") if kind in request.kinds)]


async def _claim_first(
    conn: Connection, candidates: Sequence[ClaimCandidate], worker: str, now: float, lease: float
) -> tuple[Task, Run | None] | None:
    """Claim the first candidate or one that follows it in the same run; None when other workers were faster."""
    if not candidates:
        return None
    app, run_id = candidates[0].app, candidates[0].run
    run = await runs.lock_and_bump(conn, app, run_id) if run_id else None
    if run_id and run is None:
        return None
    for candidate in takewhile(lambda other: other.run == run_id, candidates):
        if task := await task_claims.claim_task(conn, candidate.task, worker, now, lease):
            return task, run
    return None


async def _build_lease(conn: Connection, task: Task, run: Run | None, now: float, settings: Settings) -> Lease:
    """The lease: what to run, at which commit, and how long it lasts without a heartbeat."""
    if isinstance(task.spec, ImageSpec):
        spec, commit = task.spec.to_json(), ""
    elif isinstance(task.spec, BuildSpec):
        build_spec = task.spec.model_copy(update={"log": planner.build_log_name(task)})
        spec, commit = build_spec.to_json(), build_spec.commit
    elif run is None:
        instance_spec = _build_instance_spec(task, settings.internal_token)
        spec, commit = instance_spec.to_json(), instance_spec.commit
    else:
        stage_spec = await _build_stage_spec(conn, task, run, now, settings.internal_token)
        spec, commit = stage_spec.to_json(), run.plan.commit
    return Lease(
        task=task.id,
        kind=task.kind,
        attempt=task.attempt,
        token=task.token,
        app=task.app,
        lease_seconds=settings.lease,
        commit=commit,
        spec=spec,
    )


def _build_instance_spec(task: Task, internal_token: str) -> InstanceSpec:
    if task.instance_spec is None:
        raise LookupError(f"the task {task.id} has no specification")
    token, log_name = instance_token(internal_token, task), planner.instance_log_name(task)
    return task.instance_spec.model_copy(update={"instance_token": token, "log": log_name})


async def _build_stage_spec(conn: Connection, task: Task, run: Run, now: float, token: str) -> StageSpec:
    if run.started_at is None:
        status = "running" if run.status == "queued" else run.status
        started = {"started_at": now, "status": status, "deadline": now + run.plan.timeout}
        run = await runs.update_run(conn, run, started)
    producers, stage = run.plan.producers, run.get_stage(task)
    predecessors = {producers[variable] for variable in stage.inputs if variable in producers}
    siblings = await tasks.list_by_names(conn, run.id, predecessors) if predecessors else []
    stage_spec = planner.build_stage_spec(run, task, {sibling.name: sibling for sibling in siblings})
    if stage.call is not None:
        return stage_spec.model_copy(update={"call": async_prediction.grant_call(token, run, stage.call)})
    return stage_spec


def _log_start(run: Run | None) -> None:
    """Log the start of a run; `run` is its state before the claim."""
    if run is not None and run.started_at is None:
        log.get("scheduler").info("Run started", app=run.app, pipeline=run.pipeline, run=run.id, user=run.user)
