"""Rows of revisions, deployments and their steps. Every change of a status is guarded by the status before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, Update, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.manifests.catalog import Catalog
from services.registry.db.tables import deployments, revisions, steps
from services.registry.deployments.push_decision import Scene
from services.registry.deployments.state import Deployment, Step
from services.registry.secrets.tokens import new_id

REGISTRY, SCHEDULER = "registry", "scheduler"
SHOWN = [column for column in deployments.c if column.name not in ("reported_warnings", "finished_at")]


async def add(c: AsyncConnection, app: str, cause: str, now: float, pinned: str | None = None) -> Deployment:
    values: dict[str, Any] = {"id": new_id(), "app": app, "cause": cause, "status": "pending", "pinned": pinned}
    values |= {"errors": [], "warnings": [], "reported_warnings": [], "created_at": now}
    await c.execute(insert(deployments).values(**values))
    found = await get(c, values["id"])
    if found is None:
        raise LookupError(values["id"])
    return found


async def get(c: AsyncConnection, deployment: str, app: str | None = None) -> Deployment | None:
    query = select(deployments).where(deployments.c.id == deployment)
    found = await _whole(c, query if app is None else query.where(deployments.c.app == app))
    return found[0] if found else None


async def page(c: AsyncConnection, app: str, limit: int, before: int | None = None) -> list[Deployment]:
    """Newest first; `before` is a `seq`."""
    query = select(deployments).where(deployments.c.app == app).order_by(deployments.c.seq.desc()).limit(limit)
    return await _whole(c, query if before is None else query.where(deployments.c.seq < before))


async def with_status(c: AsyncConnection, status: str, app: str | None = None) -> list[Deployment]:
    """Oldest first."""
    query = select(deployments).where(deployments.c.status == status).order_by(deployments.c.seq)
    return await _whole(c, query if app is None else query.where(deployments.c.app == app))


async def live(c: AsyncConnection, app: str) -> Deployment | None:
    found = await with_status(c, "live", app)
    return found[-1] if found else None


async def latest(c: AsyncConnection, app: str, before: int | None = None) -> Deployment | None:
    """The newest one that counts: those that brought nothing new, or were overtaken, do not."""
    query = select(deployments).where(deployments.c.app == app, deployments.c.status != "superseded")
    query = query.order_by(deployments.c.seq.desc()).limit(1)
    found = await _whole(c, query if before is None else query.where(deployments.c.seq < before))
    return found[0] if found else None


async def scene(c: AsyncConnection, app: str, abandoned: str | None, commit: str | None) -> Scene:
    """What a push of `commit` is judged by."""
    known = False
    if commit is not None:
        query = select(deployments.c.id).where(deployments.c.app == app, deployments.c.commit_id == commit).limit(1)
        known = (await c.execute(query)).first() is not None
    return Scene(abandoned, await latest(c, app), await live(c, app), known)


async def before_that(c: AsyncConnection, live: Deployment) -> Deployment | None:
    """What was live before `live` and is another commit: where a rollback goes."""
    query = select(deployments).where(deployments.c.app == live.app, deployments.c.seq < live.seq)
    query = query.where(deployments.c.live_at.is_not(None), deployments.c.commit_id != live.commit_id)
    found = await _whole(c, query.order_by(deployments.c.seq.desc()).limit(1))
    return found[0] if found else None


async def was_read(c: AsyncConnection, app: str) -> bool:
    """Whether the app's manifests have ever been read from Git."""
    return (await c.execute(select(revisions.c.id).where(revisions.c.app == app).limit(1))).first() is not None


async def of_commit(c: AsyncConnection, app: str, commit: str) -> Deployment | None:
    """The newest deployment of a commit; one that became a revision before those that did not."""
    query = select(deployments).where(deployments.c.app == app, deployments.c.commit_id == commit)
    query = query.order_by(deployments.c.revision.is_(None), deployments.c.seq.desc())
    found = await _whole(c, query.limit(1))
    return found[0] if found else None


async def hold(c: AsyncConnection, deployment: str, within: Sequence[str]) -> bool:
    """Whether its status is one of `within`, until the transaction ends."""
    query = select(deployments.c.id).where(deployments.c.id == deployment, deployments.c.status.in_(within))
    return (await c.execute(query.with_for_update())).first() is not None


async def change(c: AsyncConnection, deployment: str, within: Sequence[str], **columns: Any) -> bool:
    """Whether its status was one of `within`; then it is changed now."""
    guarded = update(deployments).where(deployments.c.id == deployment, deployments.c.status.in_(within))
    return (await c.execute(guarded.values(**columns))).rowcount > 0


async def supersede(c: AsyncConnection, app: str, status: str, before_seq: int, now: float) -> None:
    """End the app's deployments in `status` that are older than `before_seq`."""
    await c.execute(_older(app, status, before_seq).values(status="superseded", finished_at=now))


async def supersede_asking(c: AsyncConnection, app: str, before_seq: int, now: float) -> None:
    """End those that would ask Git what a newer deployment, `before_seq`, asks now."""
    asking = _older(app, "pending", before_seq).where(deployments.c.pinned.is_(None), deployments.c.revision.is_(None))
    await c.execute(asking.values(status="superseded", finished_at=now))


def _older(app: str, status: str, before_seq: int) -> Update:
    older = update(deployments).where(deployments.c.app == app, deployments.c.seq < before_seq)
    return older.where(deployments.c.status == status)


async def put_steps(c: AsyncConnection, deployment: str, reporter: str, found: Iterable[Step]) -> None:
    """Replace the steps that `reporter` reported."""
    await c.execute(delete(steps).where(steps.c.deployment == deployment, steps.c.reporter == reporter))
    rows = [
        {"deployment": deployment, "reporter": reporter, "position": position, **step.__dict__}
        for position, step in enumerate(found)
    ]
    if rows:
        await c.execute(insert(steps), rows)


async def add_revision(
    c: AsyncConnection, app: str, commit: str, catalog: Mapping[str, Any], passwords: list[str], now: float
) -> str:
    revision = new_id()
    values = {"id": revision, "app": app, "commit_id": commit, "catalog": catalog, "passwords": passwords}
    await c.execute(insert(revisions).values(**values, created_at=now))
    return revision


async def catalog(c: AsyncConnection, revision: str) -> dict[str, Any]:
    query = select(revisions.c.catalog).where(revisions.c.id == revision)
    return dict((await c.execute(query)).scalar_one())


async def live_catalog(c: AsyncConnection, app: str) -> Catalog | None:
    found = await live(c, app)
    return Catalog.from_json(await catalog(c, found.revision)) if found and found.revision else None


async def _whole(c: AsyncConnection, query: Any) -> list[Deployment]:
    rows = list((await c.execute(query)).mappings())
    found = await _steps(c, [row["id"] for row in rows])
    return [_deployment(row, found.get(row["id"], [])) for row in rows]


async def _steps(c: AsyncConnection, wanted: list[str]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    if wanted:
        query = select(steps).where(steps.c.deployment.in_(wanted)).order_by(steps.c.reporter, steps.c.position)
        for row in (await c.execute(query)).mappings():
            facts = {name: row[name] for name in ("name", "status", "detail", "started_at", "finished_at")}
            found.setdefault(row["deployment"], []).append(Step(**facts))
    return found


def _deployment(row: RowMapping, found: list[Step]) -> Deployment:
    values = {column.name: row[column.name] for column in SHOWN}
    values["warnings"] = (*row["warnings"], *row["reported_warnings"])
    return Deployment(**{**values, "errors": tuple(row["errors"]), "steps": tuple(found)})
