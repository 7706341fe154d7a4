"""The schedule starter: starts the runs of due schedules. Missed starts are coalesced into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.db import Database, database_time
from libs.common.errors import Invalid, MeshError, NotFound
from libs.common.http.client import ServiceClient
from libs.common.identity import OWNER_USER
from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.periodic_task import for_each
from services.scheduler.db import runs as run_rows
from services.scheduler.db import schedules as schedule_rows
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.run import Run
from services.scheduler.model.schedule import Schedule
from services.scheduler.plans.planner import new_run_id
from services.scheduler.plans.submission import Submission, api_without_manifest, parse_submission
from services.scheduler.plans.submitted_values import Submitter
from services.scheduler.runs import cancel_retry, new_runs, submission_handler
from services.scheduler.tasks.transition_applier import TransitionApplier

MAX_PROBLEM = 1000
ERROR_RETRY_S = 3600.0
SCHEDULE_LABEL = "mlmesh.schedule"
"""Label of a scheduled run; its value is the pipeline."""


@dataclass(frozen=True)
class ScheduleStarter:
    """Starts runs of due schedules."""

    db: Database
    databox: ServiceClient
    catalogs: LiveCatalogCache
    applier: TransitionApplier
    triggers: LoopTriggers
    waiting_limit: int
    """How many runs of one app may wait."""

    async def start_due_schedules(self) -> None:
        async with self.db.read() as conn:
            due = await schedule_rows.list_due(conn, await database_time(conn))
        await for_each(due, self._start_guarded, lambda schedule: f"{schedule.app}/{schedule.pipeline}")

    async def _start_guarded(self, due: Schedule) -> None:
        """Start a due schedule; after an unexpected error the next try is ERROR_RETRY_S later."""
        try:
            await self._start_run(due)
        except MeshError:
            raise
        except Exception as error:
            async with self.db.write() as conn:
                columns = {
                    "problem": f"not started: {error!r}"[:MAX_PROBLEM],
                    "next_at": await database_time(conn) + ERROR_RETRY_S,
                }
                await schedule_rows.update_schedule(conn, due, columns)
            raise

    async def _start_run(self, due: Schedule) -> None:
        """Insert the run and set the next start in one transaction, so that no start runs twice."""
        try:
            accepted, chain = await self._build_submission(due)
        except (Invalid, NotFound) as error:
            accepted, chain, problem = None, (), error.detail
        previous_run = await self._find_previous_run(due)
        if previous_run is not None and due.spec.concurrency_policy == "Replace":
            await cancel_retry.cancel_if_open(self.db, self.applier, due.app, previous_run.id)
        async with self.db.write() as conn:
            now = await database_time(conn)
            current = await schedule_rows.get(conn, due.app, due.pipeline)
            if current is None or current.paused or current.next_at != due.next_at:
                return
            next_at = current.spec.next_start(now)
            columns: dict[str, object] = {"next_at": next_at, "last_at": now, "problem": None}
            if accepted is None:
                columns["problem"] = problem[:MAX_PROBLEM]
            elif previous_run is not None and due.spec.concurrency_policy == "Forbid":
                columns["problem"] = f"not started: the previous run {previous_run.id} has not ended"
            elif (await run_rows.count_queued(conn, due.app, limit := self.waiting_limit))[0] >= limit:
                columns["problem"] = f"not started: {due.app} has reached its limit of {limit} waiting runs"
            else:
                new_run = new_runs.start_run(submission_handler.build_run(due.app, chain, accepted, OWNER_USER), now)
                await new_runs.insert_runs(conn, [new_run])
                columns["last_run"] = new_run.run.id
            await schedule_rows.update_schedule(conn, current, columns)
        if "last_run" in columns:
            new_runs.log_submission(new_run.run)
        self.triggers.ready_relay.wake()

    async def _build_submission(self, due: Schedule) -> tuple[Submission, Sequence[ExperimentPipeline]]:
        """The submission that a caller would send, and its chain. Raises Invalid, NotFound."""
        catalog, commit = await self.catalogs.get_live(due.app)
        chain = submission_handler.resolve_chain(catalog, due.pipeline)
        api = submission_handler.first_api_spec(catalog, due.pipeline) or api_without_manifest(chain, due.spec.inputs)
        body = {"inputs": due.spec.inputs, "labels": {SCHEDULE_LABEL: due.pipeline}}
        owner = Submitter(due.app, OWNER_USER, catalog.boxes)
        accepted = parse_submission(
            chain, api, body, user=owner, commit=commit, run=new_run_id(), config_maps=catalog.config_maps
        )
        await submission_handler.check_locations(self.databox, due.app, accepted)
        return accepted, chain

    async def _find_previous_run(self, due: Schedule) -> Run | None:
        """The run of the last start, if it has not ended."""
        async with self.db.read() as conn:
            run = await run_rows.get(conn, due.app, due.last_run) if due.last_run else None
        return run if run is not None and not run.is_final else None
