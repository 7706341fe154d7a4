"""The files that a run has left, with links for whoever asked."""

from __future__ import annotations

from typing import Any

from libs.common.errors import NotFound
from services.scheduler import pipeline
from services.scheduler.db import tasks
from services.scheduler.parts import Parts
from services.scheduler.state import Run


async def files(parts: Parts, run: Run, variable: str) -> list[dict[str, Any]]:
    """The files of an output variable: where they were published, or where the stage left them."""
    outputs = run.plan["outputs"]
    if variable not in outputs:
        raise NotFound(f"no output {variable}; outputs are {', '.join(outputs) or 'none'}")
    place = run.plan["targets"].get(variable)
    if place is None:
        async with parts.db.read() as c:
            made_by = {task.name: task for task in await tasks.of_run(c, run.id)}[pipeline.producers(run)[variable]]
        if made_by.state != "succeeded":
            return []
        place = pipeline.output_area(run.id, made_by.name, made_by.token, variable).to_json()
    body = {"locations": [place], "links": True, "reader": "public"}
    answer = await parts.peers.databox.post(f"/internal/apps/{run.app}/sources", body)
    found: list[dict[str, Any]] = answer["sources"][0]
    return found
