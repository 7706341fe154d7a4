"""The scheduler's transitions of a deployment: starting to live, failed or superseded."""

from __future__ import annotations

from libs.common.db import Database, database_time
from libs.common.errors import NotFound
from libs.common.manifests.catalog import Catalog
from libs.common.protocol.deployment import DeploymentReport, RolloutProblem
from services.registry.apps import App
from services.registry.checks.problems import DeploymentErrorJson
from services.registry.db import Connection, apps, commit_statuses, deployments, members, users
from services.registry.db.deployments import SCHEDULER
from services.registry.deployments.commit_status import Progress
from services.registry.deployments.progress import log_event, log_failed, log_superseded
from services.registry.deployments.state import Deployment, DeploymentStep


async def apply_report(database: Database, deployment_id: str, report: DeploymentReport) -> None:
    """Apply a report in one transaction. Repeated and late reports change no final status. Raises NotFound."""
    async with database.write() as conn:
        deployment = await deployments.get(conn, deployment_id)
        if deployment is None or await apps.get(conn, deployment.app, lock=True) is None:
            raise NotFound(f"there is no deployment {deployment_id}")
        now = await database_time(conn)
        await _save_details(conn, deployment_id, report)
        changed = await _change_status(conn, deployment, report, now)
        superseded: list[str] = []
        if changed and report.status == "live":
            superseded = await deployments.supersede_older(conn, deployment.app, "live", deployment.seq, now)
        await commit_statuses.record(conn, deployment.app, deployment_id, now, _read_progress(report))
    if changed:
        _log_change(deployment, report)
        log_superseded(deployment, superseded)


async def _save_details(conn: Connection, deployment: str, report: DeploymentReport) -> None:
    steps = [DeploymentStep(**step.model_dump(exclude={"ready", "total"})) for step in report.steps]
    await deployments.replace_steps(conn, deployment, SCHEDULER, steps)
    warnings = [warning.to_json() for warning in report.warnings]
    statuses = ("starting", "live", "superseded")
    await deployments.update_if_status(conn, deployment, statuses, reported_warnings=warnings)


def _read_progress(report: DeploymentReport) -> Progress | None:
    """How many instances the last step has started, when it starts some."""
    last = report.steps[-1] if report.steps else None
    if last is None or last.ready is None or last.total is None:
        return None
    return Progress(last.ready, last.total)


async def _change_status(conn: Connection, deployment: Deployment, report: DeploymentReport, now: float) -> bool:
    """Whether the report changed the status."""
    if report.status == "live":
        return await _go_live(conn, deployment, now)
    if report.status == "starting":
        return False
    columns: dict[str, object] = {"status": report.status, "finished_at": now}
    if report.status == "failed":
        columns["errors"] = [_error_to_json(error) for error in report.errors]
    return await deployments.update_if_status(conn, deployment.id, ("starting",), **columns)


def _error_to_json(error: RolloutProblem) -> DeploymentErrorJson:
    """The position is always present; other fields only when set."""
    document: DeploymentErrorJson = {
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "message": error.message,
    }
    if error.component is not None:
        document["component"] = error.component
    if error.reason is not None:
        document["reason"] = error.reason
    if error.log_tail:
        document["log_tail"] = list(error.log_tail)
    return document


async def _go_live(conn: Connection, deployment: Deployment, now: float) -> bool:
    """The scheduler decides what is routed: a deployment that was superseded here goes live unless a newer one is."""
    live = await deployments.get_live(conn, deployment.app)
    if live is not None and live.seq >= deployment.seq:
        return False
    columns = {"status": "live", "live_at": now, "finished_at": None}
    changed = await deployments.update_if_status(conn, deployment.id, ("starting", "superseded"), **columns)
    if changed:
        await _update_app(conn, deployment)
    return changed


def _log_change(deployment: Deployment, report: DeploymentReport) -> None:
    if report.status == "failed":
        log_failed(deployment, [error.message for error in report.errors])
    elif report.status == "live":
        log_event(deployment, "Deployment live", commit=deployment.commit_id)
    else:
        log_event(deployment, "Deployment superseded")


async def _update_app(conn: Connection, deployment: Deployment) -> None:
    """Copy the PlatformApp of a live revision to the app; who owns the app, unless a person deployed who does not."""
    if deployment.revision is None:
        return
    catalog = Catalog.from_json(await deployments.get_catalog(conn, deployment.revision))
    if catalog.app is not None:
        app, owners = App.from_manifest(catalog.app), catalog.app.spec.owners
        present = await apps.get(conn, deployment.app)
        if present is not None and not await _may_name_owners(conn, deployment):
            owners = present.owners
        await apps.update_app(conn, App(deployment.app, app.title, app.description, app.module_kind, owners))


async def _may_name_owners(conn: Connection, deployment: Deployment) -> bool:
    """Whether the deployment counts for `owners`: a developer may deploy, but not become an owner by it."""
    kind, _, person = (deployment.caused_by or "").partition(" ")
    if kind != "user":
        return True
    user = await users.get(conn, person)
    if user is None or user.is_administrator:
        return user is not None
    memberships = await members.list_memberships(conn, person, ())
    return any(membership.app == deployment.app and membership.role == "owner" for membership in memberships)
