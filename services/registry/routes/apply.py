"""`apply`: attach a module to the mesh. From then on Git decides."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from services.registry.apply.executor import Applying, refused
from services.registry.apply.request import Application, read
from services.registry.checks.problems import shown
from services.registry.dependencies import Here, Parts, Who
from services.registry.request_body import read_body

router = APIRouter()
MAX_BYTES = 1 << 20
LOOK_UP_S = 2.0
"""A host that is not found within this is asked by the deployment, which says so."""
FILE = "app.yaml"


@router.post("/api/v1/apply")
async def apply(request: Request, parts: Here, who: Who, file: str = FILE) -> dict[str, Any]:
    """`file` is the name that errors show."""
    application, problems = read(file, await read_body(request, MAX_BYTES))
    if application is None:
        raise refused([problem for problem in problems if problem.severity == "error"])
    who.require("write", application.app)
    await _place(parts, application)
    answer = await Applying(parts.database, parts.vault, parts.settings.public_url, application).run()
    parts.access_changed(application.app)
    return {**answer, "warnings": [shown(problem) for problem in problems]}


async def _place(parts: Parts, application: Application) -> None:
    """A Repository that would never be asked is refused at once."""
    if application.repository is None:
        return
    if why := await parts.locations.refused(application.repository.body.spec.url, LOOK_UP_S):
        raise refused([application.repository.problem(("spec", "url"), why)])
