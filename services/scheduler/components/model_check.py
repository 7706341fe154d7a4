"""The model check: makes the instances ready that waited for their model, once databox has it."""

from __future__ import annotations

from libs.common.db import Database
from libs.common.http.client import ServiceClient
from libs.common.protocol.staging import SourcesRequest, SourcesResponse
from services.scheduler.db import tasks
from services.scheduler.model.reason import reason
from services.scheduler.model.task import Task


async def check_models(db: Database, databox: ServiceClient, name: str) -> None:
    """Make instances ready whose model exists now."""
    async with db.read() as conn:
        waiting = [task for task in await tasks.list_instances(conn, name) if waits_for_model(task)]
    if not waiting:
        return
    query = SourcesRequest(locations=tuple(task.model for task in waiting if task.model), links=False)
    response = await databox.post(f"/internal/apps/{name}/sources", query.to_json())
    async with db.write() as conn:
        for task, files in zip(waiting, SourcesResponse.model_validate(response).sources, strict=True):
            unblocked = {"state": "ready", "reason": None, "not_before": None}
            blocked = {"reason": reason("model_missing", str(task.model))}
            current = await tasks.get(conn, task.id)
            if current is not None and current.state == "waiting":
                await tasks.update_task(conn, task.id, unblocked if files else blocked)


def waits_for_model(task: Task) -> bool:
    """Whether the instance waits for its model, not for the end of a back-off."""
    return task.state == "waiting" and task.not_before is None and task.model is not None
