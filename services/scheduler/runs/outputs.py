"""The files that a run has left, with links for whoever asked."""

from __future__ import annotations

from typing import Any

from libs.common.errors import NotFound
from services.scheduler.db import runs, tasks
from services.scheduler.dependencies import Parts
from services.scheduler.model.run import Run
from services.scheduler.plans import planner


async def files(parts: Parts, run: Run, variable: str) -> list[dict[str, Any]]:
    """The files of an output variable: where they were published, or where the stage left them."""
    outputs = run.plan["outputs"]
    if variable not in outputs:
        raise NotFound(f"no output {variable}; outputs are {', '.join(outputs) or 'none'}")
    place = await _place(parts, run, variable)
    if place is None:
        return []
    body = {"locations": [place], "links": True, "reader": "public"}
    answer = await parts.peers.databox.post(f"/internal/apps/{run.app}/sources", body)
    found: list[dict[str, Any]] = answer["sources"][0]
    return found


async def _place(parts: Parts, run: Run, variable: str) -> dict[str, Any] | None:
    """None when the stage that writes it has not succeeded yet."""
    async with parts.db.read() as c:
        among = await runs.list_chain(c, run.id) if run.is_chain_head else [run]
        by = next((one for one in reversed(among) if variable in planner.producing_stages(one)), None)
        stages = await tasks.list_by_run(c, by.id) if by else []
    if by is None:
        return None
    if (target := by.plan["targets"].get(variable)) is not None:
        return dict(target)
    made_by = next(task for task in stages if task.name == planner.producing_stages(by)[variable])
    if made_by.state != "succeeded":
        return None
    return planner.find_output_location(by, made_by, variable).to_json()
