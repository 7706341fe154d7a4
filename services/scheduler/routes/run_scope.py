"""Which runs a request may access, and the routes below both paths of runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from libs.common.errors import Forbidden, NotFound
from libs.common.http.documented_router import DocumentedRouter
from libs.common.identity import ANONYMOUS, OWNER_USER, Caller
from services.scheduler.dependencies import Dependencies
from services.scheduler.model.run import Run
from services.scheduler.routes.dependencies import CallerDep
from services.scheduler.runs import queries

CALLER_PATH = "/internal/apps/{ns}/runs"
"""The gateway's, for callers."""
OWNER_PATH = "/api/v1/apps/{ns}/runs"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def run_route(router: DocumentedRouter, method: str, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
    """Decorator of a route for callers, of their own runs, and for owners, of all runs of an app."""

    def register(endpoint: Endpoint) -> Endpoint:
        name = endpoint.__name__
        router.api_route(CALLER_PATH + path, methods=[method], tags=["runs"], **options)(endpoint)
        owner_options = {**options, "operation_id": f"{name}_as_owner", "tags": ["runs of an app"]}
        router.api_route(OWNER_PATH + path, methods=[method], **owner_options)(endpoint)
        return endpoint

    return register


class RunScope:
    """The runs that a request may access: the caller's, or all of the app.

    A run of an anonymous caller is visible to anyone who knows its id.
    """

    def __init__(self, caller: Caller, app: str, owner: bool) -> None:
        self.app = app
        self.list_path = f"/api/v1/apps/{app}/runs" if owner else f"/{app}/runs"
        """The public path, for links."""
        self.owner = owner or caller.user == OWNER_USER
        self.user = None if owner else caller.user
        self.pipelines = None if owner or "*" in caller.pipelines else caller.pipelines

    def check_visible(self, run: Run) -> Run:
        """Raises NotFound for a run of another user, as if it did not exist."""
        is_visible = self.user is None or run.user in (self.user, ANONYMOUS)
        first_pipeline = run.first_pipeline
        if not is_visible or (self.pipelines is not None and not self.pipelines & {run.pipeline, first_pipeline}):
            raise NotFound(f"no run {run.id}")
        return run


async def run_scope(request: Request, caller: CallerDep, ns: str) -> RunScope:
    owner = request.url.path.startswith("/api/v1/")
    if owner:
        caller.require_scope("read" if request.method == "GET" else "develop", ns)
    elif not caller.user:
        raise Forbidden()
    return RunScope(caller, ns, owner)


RunScopeDep = Annotated[RunScope, Depends(run_scope)]


async def require_visible_run(deps: Dependencies, scope: RunScope, run_id: str) -> Run:
    """The run, if the scope may see it. Raises NotFound, Gone."""
    async with deps.db.read() as conn:
        return scope.check_visible(await queries.require_run(conn, scope.app, run_id, lock=False))
