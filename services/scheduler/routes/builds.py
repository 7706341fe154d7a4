"""`/api/v1/apps/{ns}/deployments/{id}/builds`: the logs of images that a deployment had built."""

from __future__ import annotations

from starlette.responses import StreamingResponse
from typing_extensions import TypedDict

from libs.common.errors import NotFound
from libs.common.http.api_document import describe_text
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page, response_shape
from services.scheduler.db import rollouts
from services.scheduler.routes.dependencies import CallerDep, DependenciesDep
from services.scheduler.runs.log_reader import tail_build_log

router = DocumentedRouter(prefix="/api/v1/apps/{ns}/deployments/{deployment}/builds", tags=["deployments"])


@response_shape
class BuildJson(TypedDict):
    """A build that has begun, or that an earlier deployment made."""

    image: str
    """The component, or `pipeline.stage`, that runs what is built."""


@router.get("")
async def list_builds(deps: DependenciesDep, caller: CallerDep, ns: str, deployment: str) -> Page[BuildJson]:
    """One for each component and stage whose image is built; equal builds share an image and its log."""
    caller.require_scope("read", ns)
    async with deps.db.read() as conn:
        builds = await rollouts.get_builds(conn, ns, deployment)
    return {"items": [{"image": image} for image in sorted(builds)], "next": None}


@router.get("/{image}/log", responses=describe_text("The log; with `follow` as it grows"))
async def show_build_log(
    deps: DependenciesDep, caller: CallerDep, ns: str, deployment: str, image: str, follow: bool = False
) -> StreamingResponse:
    """The log of the build of one component or stage."""
    caller.require_scope("read", ns)
    async with deps.db.read() as conn:
        builds = await rollouts.get_builds(conn, ns, deployment)
    if image not in builds:
        titles = ", ".join(sorted(builds)) or "none"
        raise NotFound(f"deployment {deployment} has no build of {image}; its builds are {titles}")
    log = tail_build_log(deps.db, deps.services.databox, deps.notifier, ns, builds[image], follow=follow)
    return StreamingResponse(log, media_type="text/plain; charset=utf-8")
