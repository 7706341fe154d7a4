"""Pipelines that start by themselves. A start that was missed is made up for once, however many were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.common.db import clock
from libs.common.errors import Invalid, MeshError, NotFound
from libs.common.identity import OWNER
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.schedule import next_start
from libs.common.periodic_task import for_each
from services.scheduler.db import Connection
from services.scheduler.db import runs as rows
from services.scheduler.db import schedules as table
from services.scheduler.dependencies import Parts
from services.scheduler.model.run import Run
from services.scheduler.model.schedule import Schedule
from services.scheduler.plans.planner import new_run_id
from services.scheduler.plans.submission import Submitter, api_without_manifest, parse_submission
from services.scheduler.runs import create, queries, writer

MAX_PROBLEM = 1000
BROKEN_REST_S = 3600.0
LABEL = "mlmesh.schedule"
"""Of a run that began by itself; its value is the pipeline."""


async def put(c: Connection, app: str, catalog: Catalog, now: float) -> None:
    """The schedules of a revision that went live. One whose times are the same keeps its next start and its pause."""
    known = {one.pipeline: one for one in await table.list_by_app(c, app)}
    wanted = {name: found.spec.schedule for name, found in catalog.pipelines.items() if found.spec.schedule}
    for name, schedule in wanted.items():
        spec = schedule.model_dump(mode="json", by_alias=True)
        old = known.get(name, Schedule(app=app, pipeline=name, spec={}))
        same = all(old.spec.get(field) == spec[field] for field in ("cron", "timezone"))
        next_at = old.next_at if same else next_start(schedule.cron, schedule.timezone, now)
        await table.put(c, Schedule(**{**old.__dict__, "spec": spec, "next_at": next_at}))
    await table.remove_schedules(c, app, frozenset(wanted))


async def step(parts: Parts) -> None:
    async with parts.db.read() as c:
        due = await table.list_due(c, await clock(c))
    await for_each(due, lambda one: _start_or_rest(parts, one), lambda one: f"{one.app}/{one.pipeline}")


async def _start_or_rest(parts: Parts, due: Schedule) -> None:
    """One that breaks is not tried again every second."""
    try:
        await _start(parts, due)
    except MeshError:
        raise
    except Exception as error:
        async with parts.db.write() as c:
            columns = {"problem": f"not started: {error!r}"[:MAX_PROBLEM], "next_at": await clock(c) + BROKEN_REST_S}
            await table.update_schedule(c, due, columns)
        raise


async def _start(parts: Parts, due: Schedule) -> None:
    """One transaction makes the run and sets the next start: nobody starts it twice."""
    try:
        asked, chain = await _asked(parts, due)
    except (Invalid, NotFound) as error:
        asked, chain, problem = None, (), error.detail
    last = await _last(parts, due)
    if last is not None and due.spec["concurrencyPolicy"] == "Replace":
        await queries.end(parts, due.app, last.id)
    async with parts.db.write() as c:
        now = await clock(c)
        fresh = await table.get(c, due.app, due.pipeline)
        if fresh is None or fresh.paused or fresh.next_at != due.next_at:
            return
        next_at = next_start(fresh.spec["cron"], fresh.spec["timezone"], now)
        columns: dict[str, Any] = {"next_at": next_at, "last_at": now, "problem": None}
        if asked is None:
            columns["problem"] = problem[:MAX_PROBLEM]
        elif last is not None and due.spec["concurrencyPolicy"] == "Forbid":
            columns["problem"] = f"not started: {last.id} has not ended"
        elif (await rows.count_queued(c, due.app, most := parts.settings.waiting_runs))[0] >= most:
            columns["problem"] = f"not started: {due.app} has {most} waiting runs"
        else:
            made = writer.begun(create.draft(due.app, chain, asked, OWNER), now)
            await writer.add(c, [made])
            columns["last_run"] = made.run.id
        await table.update_schedule(c, fresh, columns)
    parts.wakes.relay()


async def _asked(parts: Parts, due: Schedule) -> Any:
    """What a caller would have asked for. Raises Invalid, NotFound."""
    catalog, commit = await parts.catalogs.live(due.app)
    chain = create.chain_of(catalog, due.pipeline)
    api = create.api_of(catalog, due.pipeline) or api_without_manifest(chain, due.spec["inputs"])
    body = {"inputs": due.spec["inputs"], "labels": {LABEL: due.pipeline}}
    owner = Submitter(due.app, OWNER, catalog.boxes)
    asked = parse_submission(
        chain, api, body, user=owner, commit=commit, run=new_run_id(), config_maps=catalog.config_maps
    )
    await create.check_files(parts, due.app, asked)
    return asked, chain


async def _last(parts: Parts, due: Schedule) -> Run | None:
    """The run of the start before, if it has not ended."""
    async with parts.db.read() as c:
        found = await rows.get(c, due.app, due.last_run) if due.last_run else None
    return found if found is not None and not found.is_final else None


async def pause(parts: Parts, app: str, pipeline: str, *, paused: bool) -> Schedule:
    """Pause it, or let it go on with the next start from now. Raises NotFound."""
    async with parts.db.write() as c:
        found = await table.get(c, app, pipeline)
        if found is None:
            raise NotFound(f"{pipeline} has no schedule")
        columns: Mapping[str, Any] = {"paused": paused}
        if found.paused and not paused:
            next_at = next_start(found.spec["cron"], found.spec["timezone"], await clock(c))
            columns = {"paused": False, "next_at": next_at}
        await table.update_schedule(c, found, columns)
    return Schedule(**{**found.__dict__, **columns})
