"""Internal API for gateways: the route table and load reports."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from libs.common.http.hot_routes import OrjsonResponse
from libs.common.protocol.load_report import LoadReport
from libs.common.protocol.route_table import RouteTableChange
from services.scheduler import credential_encryption, long_poll_notifier
from services.scheduler.components import load_reports
from services.scheduler.db import route_table, version_counters
from services.scheduler.dependencies import Dependencies
from services.scheduler.routes.dependencies import DependenciesDep

MAX_WAIT_S = 60.0
router = APIRouter(prefix="/internal", include_in_schema=False)


@router.get("/table")
async def get_route_table(deps: DependenciesDep, since: int = -1, wait: float = 0.0) -> Response:
    """Changes after version `since` (long poll); the full table for -1 or for a version that never existed."""
    remaining = min(wait, MAX_WAIT_S)
    with deps.notifier.subscribe(long_poll_notifier.ROUTE_TABLE) as subscription:
        while True:
            async with deps.db.read() as conn:
                full = since < 0 or since > await version_counters.get_counter(conn, "table")
                version, documents = await route_table.list_routes_since(conn, 0 if full else since)
            if full or version > since:
                change = RouteTableChange(version=version, full=full)
                return OrjsonResponse({**change.to_json(), "apps": _add_tokens(deps, documents)})
            if remaining <= 0 or deps.notifier.closed:
                return Response(status_code=304)
            pause = min(remaining, deps.poll_interval)
            await subscription.wait(pause)
            remaining -= pause


def _add_tokens(deps: Dependencies, documents: dict[str, dict[str, Any] | None]) -> dict[str, dict[str, Any] | None]:
    token = deps.settings.internal_token
    return {
        app: None if document is None else credential_encryption.add_endpoint_tokens(token, document)
        for app, document in documents.items()
    }


@router.post("/loads", status_code=204)
async def receive_load_report(deps: DependenciesDep, report: LoadReport) -> None:
    await load_reports.record_load_report(deps.db, deps.triggers, report)
