"""Shows the errors of a failed deployment at their lines, where the forge can.

The commit's status has the first error already, so this is tried once: a comment that came twice would be worse than
one that did not come.
"""

from __future__ import annotations

import aiohttp

from libs.common import log
from libs.common.db import Database
from libs.common.http.public_client import PublicHttpClient
from services.registry.checks.problems import DeploymentErrorJson
from services.registry.commit_statuses.status_route import StatusRoute
from services.registry.db import commit_statuses
from services.registry.db.commit_statuses import OutgoingStatus
from services.registry.forges.annotations import Annotation
from services.registry.forges.commit_status import CommitStatus
from services.registry.forges.status_apis import ApiRequest


async def send_annotations(
    database: Database,
    public_http: PublicHttpClient,
    route: StatusRoute,
    outgoing: OutgoingStatus,
    status: CommitStatus,
) -> None:
    """Never raises for what the forge does; the rest is left out after the first request that fails."""
    if route.api.annotate is None:
        return
    async with database.write() as conn:
        errors = await commit_statuses.claim_errors(conn, outgoing)
    annotations = [_make_annotation(error) for error in errors]
    for request in route.api.build_annotations(route.address, route.token, status, annotations):
        if (why := await _send(public_http, route, request)) is not None:
            fields = {"app": outgoing.app, "commit": outgoing.commit_id, "why": why}
            log.get("registry").warning("Annotations not delivered", **fields)
            return


def _make_annotation(error: DeploymentErrorJson) -> Annotation:
    return Annotation(error["file"] or "", error["line"] or 1, error["column"] or 1, error["message"])


async def _send(public_http: PublicHttpClient, route: StatusRoute, request: ApiRequest) -> str | None:
    """Why the forge does not show it; None when it does."""
    try:
        answer = await public_http.send(request.method, request.url, request.body, request.headers)
    except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
        return str(error) or type(error).__name__
    return None if answer.status < 300 else f"{route.api.title} answered {answer.status}"
