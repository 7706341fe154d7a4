"""Rows of revisions, deployments and their steps. Every change of a status names the statuses it may start from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, Update, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.frozen import copy_with
from libs.common.manifests.catalog import Catalog, CatalogJson
from services.registry.db.ids import new_id
from services.registry.db.tables import deployments, repositories, revisions, steps
from services.registry.deployments.push_decision import PushContext
from services.registry.deployments.state import OPEN_STATUSES, Deployment, DeploymentStep

REGISTRY, SCHEDULER = "registry", "scheduler"
COLUMNS = [column for column in deployments.c if column.name not in ("reported_warnings", "finished_at")]
ADD = insert(deployments).returning(*deployments.c)


async def add(
    conn: AsyncConnection, app: str, trigger: str, now: float, caused_by: str, repeats: Deployment | None = None
) -> Deployment:
    """`repeats`: the deployment whose commit a rollback, or a promotion from another app, deploys again."""
    values: dict[str, object] = {
        "id": new_id(),
        "app": app,
        "trigger": trigger,
        "status": "pending",
        "caused_by": caused_by,
        "author": repeats and repeats.author,
        "message": repeats and repeats.message,
        "tag": repeats and repeats.tag,
        "pinned_commit": repeats and repeats.commit_id,
        "rollback_to": repeats and repeats.id,
        "promoted_from": repeats.app if repeats is not None and repeats.app != app else None,
    }
    values |= {"errors": [], "warnings": [], "reported_warnings": [], "created_at": now}
    inserted = await conn.execute(ADD, values)
    return _to_deployment(inserted.mappings().one(), [])


async def get(conn: AsyncConnection, deployment: str, app: str | None = None) -> Deployment | None:
    query = select(deployments).where(deployments.c.id == deployment)
    rows = await _load_with_steps(conn, query if app is None else query.where(deployments.c.app == app))
    return rows[0] if rows else None


async def list_page(conn: AsyncConnection, app: str, limit: int, before_seq: int | None = None) -> list[Deployment]:
    """Newest first; `before` is a `seq`."""
    query = select(deployments).where(deployments.c.app == app).order_by(deployments.c.seq.desc()).limit(limit)
    return await _load_with_steps(conn, query if before_seq is None else query.where(deployments.c.seq < before_seq))


async def list_by_status(conn: AsyncConnection, status: str, app: str | None = None) -> list[Deployment]:
    """Oldest first."""
    query = select(deployments).where(deployments.c.status == status).order_by(deployments.c.seq)
    return await _load_with_steps(conn, query if app is None else query.where(deployments.c.app == app))


async def get_live(conn: AsyncConnection, app: str) -> Deployment | None:
    rows = await list_by_status(conn, "live", app)
    return rows[-1] if rows else None


async def get_latest(conn: AsyncConnection, app: str, before_seq: int | None = None) -> Deployment | None:
    """The newest one that was not superseded."""
    query = select(deployments).where(deployments.c.app == app, deployments.c.status != "superseded")
    query = query.order_by(deployments.c.seq.desc()).limit(1)
    rows = await _load_with_steps(conn, query if before_seq is None else query.where(deployments.c.seq < before_seq))
    return rows[0] if rows else None


async def list_failed_apps(conn: AsyncConnection, apps: Sequence[str]) -> set[str]:
    """Those of `apps` whose newest deployment that was not superseded has failed."""
    is_relevant = deployments.c.app.in_(apps) & (deployments.c.status != "superseded")
    newest = select(func.max(deployments.c.seq)).where(is_relevant).group_by(deployments.c.app)
    query = select(deployments.c.app).where(deployments.c.seq.in_(newest), deployments.c.status == "failed")
    return set((await conn.execute(query)).scalars())


async def load_push_context(conn: AsyncConnection, app: str, commit: str | None) -> PushContext:
    """The facts that decide about a push of `commit`. Only open deployments come with their steps."""
    rows = list((await conn.execute(PUSH_CONTEXT, {"app_name": app, "pushed": commit})).mappings())
    steps_of_open = await _load_steps(conn, [row["id"] for row in rows if row["status"] in OPEN_STATUSES])
    newest_first = [_to_deployment(row, steps_of_open.get(row["id"], [])) for row in rows]
    return PushContext(
        rows[0]["abandoned_head"] if rows else None,
        newest_first[0] if newest_first else None,
        next((deployment for deployment in newest_first if deployment.status == "live"), None),
        any(row["commit_known"] for row in rows),
    )


def _select_push_context() -> Select[Any]:
    """The newest deployment that was not superseded and the live one, each with what is known of app and commit."""
    of_app = deployments.c.app == bindparam("app_name")
    newest = select(func.max(deployments.c.seq)).where(of_app, deployments.c.status != "superseded")
    live = select(func.max(deployments.c.seq)).where(of_app, deployments.c.status == "live")
    is_known = exists().where(of_app, deployments.c.commit_id == bindparam("pushed")).label("commit_known")
    abandoned = select(repositories.c.abandoned_head).where(repositories.c.app == bindparam("app_name"))
    query = select(deployments, is_known, abandoned.scalar_subquery().label("abandoned_head"))
    is_either = deployments.c.seq.in_((newest.scalar_subquery(), live.scalar_subquery()))
    return query.where(is_either).order_by(deployments.c.seq.desc())


PUSH_CONTEXT = _select_push_context()


async def get_previous_live(conn: AsyncConnection, live: Deployment) -> Deployment | None:
    """The last live deployment of another commit before `live`: the target of a rollback."""
    query = select(deployments).where(deployments.c.app == live.app, deployments.c.seq < live.seq)
    query = query.where(deployments.c.live_at.is_not(None), deployments.c.commit_id != live.commit_id)
    rows = await _load_with_steps(conn, query.order_by(deployments.c.seq.desc()).limit(1))
    return rows[0] if rows else None


async def get_compared(conn: AsyncConnection, deployment: Deployment) -> Deployment | None:
    """The deployment that was live before this one, and which it replaces or would have replaced.

    Deployments become live in their order, so it is the newest older one that ever was.
    """
    query = select(deployments).where(deployments.c.app == deployment.app, deployments.c.seq < deployment.seq)
    query = query.where(deployments.c.live_at.is_not(None)).order_by(deployments.c.seq.desc())
    rows = await _load_with_steps(conn, query.limit(1))
    return rows[0] if rows else None


async def has_revision(conn: AsyncConnection, app: str) -> bool:
    """Whether the app's manifests were read from Git at least once."""
    return (await conn.execute(select(revisions.c.id).where(revisions.c.app == app).limit(1))).first() is not None


async def find_by_commit(conn: AsyncConnection, app: str, commit: str) -> Deployment | None:
    """The newest deployment of a commit; those that were live come first, then those with a revision."""
    query = select(deployments).where(deployments.c.app == app, deployments.c.commit_id == commit)
    query = query.order_by(deployments.c.live_at.is_(None), deployments.c.revision.is_(None), deployments.c.seq.desc())
    rows = await _load_with_steps(conn, query.limit(1))
    return rows[0] if rows else None


async def find_once_live(conn: AsyncConnection, app: str, commit: str) -> Deployment | None:
    """The newest deployment that was live, of the commit that begins so."""
    query = select(deployments).where(deployments.c.app == app, deployments.c.live_at.is_not(None))
    query = query.where(deployments.c.commit_id.startswith(commit, autoescape=True))
    rows = await _load_with_steps(conn, query.order_by(deployments.c.seq.desc()).limit(1))
    return rows[0] if rows else None


async def lock_if_status(conn: AsyncConnection, deployment: str, statuses: Sequence[str]) -> bool:
    """Whether its status is one of `statuses`; holds the row lock until the transaction ends."""
    query = select(deployments.c.id).where(deployments.c.id == deployment, deployments.c.status.in_(statuses))
    return (await conn.execute(query.with_for_update())).first() is not None


async def update_if_status(conn: AsyncConnection, deployment: str, statuses: Sequence[str], **columns: Any) -> bool:
    """Set columns if its status is one of `statuses`; whether it was."""
    guarded = update(deployments).where(deployments.c.id == deployment, deployments.c.status.in_(statuses))
    return (await conn.execute(guarded.values(**columns))).rowcount > 0


async def supersede_older(conn: AsyncConnection, app: str, status: str, before_seq: int, now: float) -> list[str]:
    """Supersede the app's deployments in `status` that are older than `before_seq`; their ids."""
    return await _supersede(conn, _update_older(app, status, before_seq), now)


async def supersede_awaiting_head(conn: AsyncConnection, app: str, before_seq: int, now: float) -> list[str]:
    """Supersede older deployments that await the branch's head, which the newer one fetches now; their ids."""
    awaiting = _update_older(app, "pending", before_seq)
    awaiting = awaiting.where(deployments.c.pinned_commit.is_(None), deployments.c.revision.is_(None))
    return await _supersede(conn, awaiting, now)


async def _supersede(conn: AsyncConnection, update_older: Update, now: float) -> list[str]:
    statement = update_older.values(status="superseded", finished_at=now).returning(deployments.c.id)
    return list((await conn.execute(statement)).scalars())


def _update_older(app: str, status: str, before_seq: int) -> Update:
    older = update(deployments).where(deployments.c.app == app, deployments.c.seq < before_seq)
    return older.where(deployments.c.status == status)


async def replace_steps(
    conn: AsyncConnection, deployment: str, reporter: str, new_steps: Iterable[DeploymentStep]
) -> None:
    """Replace the steps that `reporter` reported."""
    await conn.execute(delete(steps).where(steps.c.deployment == deployment, steps.c.reporter == reporter))
    rows = [
        {"deployment": deployment, "reporter": reporter, "position": position, **step.__dict__}
        for position, step in enumerate(new_steps)
    ]
    if rows:
        await conn.execute(insert(steps), rows)


async def add_revision(
    conn: AsyncConnection, app: str, commit: str, catalog: Mapping[str, Any], password_secrets: list[str], now: float
) -> str:
    revision = new_id()
    values = {"id": revision, "app": app, "commit_id": commit, "catalog": catalog, "password_secrets": password_secrets}
    await conn.execute(insert(revisions).values(**values, created_at=now))
    return revision


async def get_catalog(conn: AsyncConnection, revision: str) -> CatalogJson:
    query = select(revisions.c.catalog).where(revisions.c.id == revision)
    catalog: CatalogJson = (await conn.execute(query)).scalar_one()
    return catalog


async def get_live_catalog(conn: AsyncConnection, app: str) -> Catalog | None:
    deployment = await get_live(conn, app)
    return (
        Catalog.from_json(await get_catalog(conn, deployment.revision)) if deployment and deployment.revision else None
    )


async def _load_with_steps(conn: AsyncConnection, query: Any) -> list[Deployment]:
    rows = list((await conn.execute(query)).mappings())
    step_rows = await _load_steps(conn, [row["id"] for row in rows])
    return [_to_deployment(row, step_rows.get(row["id"], [])) for row in rows]


async def load_steps(conn: AsyncConnection, deployment: Deployment) -> Deployment:
    """With its steps."""
    rows = await _load_steps(conn, [deployment.id])
    return copy_with(deployment, steps=tuple(rows.get(deployment.id, [])))


async def _load_steps(conn: AsyncConnection, ids: list[str]) -> dict[str, list[DeploymentStep]]:
    steps_by_deployment: dict[str, list[DeploymentStep]] = {}
    if ids:
        query = select(steps).where(steps.c.deployment.in_(ids)).order_by(steps.c.reporter, steps.c.position)
        for row in (await conn.execute(query)).mappings():
            columns = {name: row[name] for name in ("name", "status", "detail", "started_at", "finished_at")}
            steps_by_deployment.setdefault(row["deployment"], []).append(DeploymentStep(**columns))
    return steps_by_deployment


def _to_deployment(row: RowMapping, deployment_steps: list[DeploymentStep]) -> Deployment:
    values = {column.name: row[column.name] for column in COLUMNS}
    values["warnings"] = (*row["warnings"], *row["reported_warnings"])
    return Deployment(**{**values, "errors": tuple(row["errors"]), "steps": tuple(deployment_steps)})
