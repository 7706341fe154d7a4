"""`/api/v1/workers` and `/api/v1/queues`, for operators."""

from __future__ import annotations

from libs.common.bus import Queue
from libs.common.db import database_time
from libs.common.errors import NotFound
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page
from services.scheduler import long_poll_notifier
from services.scheduler.db import ready_tasks, tasks, workers
from services.scheduler.routes.dependencies import CallerDep, DependenciesDep
from services.scheduler.tasks import ready_publisher
from services.scheduler.workers import views
from services.scheduler.workers.views import DeadLetterJson, DrainJson, QueueJson, RedriveJson, WorkerJson

router = DocumentedRouter(prefix="/api/v1", tags=["workers and queues"])


@router.get("/workers")
async def list_workers(deps: DependenciesDep, caller: CallerDep) -> Page[WorkerJson]:
    caller.require_scope("read")
    async with deps.db.read() as conn:
        now = await database_time(conn)
        items = [
            views.worker_to_json(worker, await tasks.list_claimed_by(conn, worker.name), now)
            for worker in await workers.list_workers(conn)
        ]
    return {"items": items, "next": None}


@router.post("/workers/{name}/drain", status_code=202)
async def drain_worker(deps: DependenciesDep, caller: CallerDep, name: str, off: bool = False) -> DrainJson:
    """Drain: the worker claims nothing, returns tasks it has not started, and its instances move to other workers.

    `?off=true` ends the drain.
    """
    caller.require_scope("admin")
    async with deps.db.write() as conn:
        if not await workers.set_draining(conn, name, not off):
            raise NotFound(f"no worker {name}")
        held = await tasks.list_claimed_by(conn, name)
    deps.notifier.notify(long_poll_notifier.worker_orders(name))
    for app in {task.app for task in held if task.kind == "instance"}:
        deps.triggers.reconcile(app)
    return {"name": name, "draining": not off}


@router.get("/queues")
async def list_queues(deps: DependenciesDep, caller: CallerDep) -> Page[QueueJson]:
    """Ready tasks and dead letters, by resource class."""
    caller.require_scope("read")
    async with deps.db.read() as conn:
        now = await database_time(conn)
        depths = {depth["resource_class"]: depth for depth in await ready_tasks.get_queue_depths(conn)}
    letters = await deps.bus.list_dead_letters()
    return {
        "items": [
            views.queue_to_json(ready_publisher.task_queue(resource_class), depths.get(resource_class), letters, now)
            for resource_class in ready_publisher.DEFAULT_CLASSES
        ],
        "next": None,
    }


@router.get("/queues/{name}/dead")
async def list_dead_letters(deps: DependenciesDep, caller: CallerDep, name: str) -> Page[DeadLetterJson]:
    caller.require_scope("read")
    queue = _find_queue(name)
    letters = [letter for letter in await deps.bus.list_dead_letters() if queue.accepts(letter.key)]
    return {"items": [views.dead_letter_to_json(letter) for letter in letters], "next": None}


@router.post("/queues/{name}/redrive", status_code=202)
async def redrive_queue(deps: DependenciesDep, caller: CallerDep, name: str) -> RedriveJson:
    """Move dead letters back to the queue."""
    caller.require_scope("admin")
    return {"name": name, "redriven": await deps.bus.redrive(_find_queue(name))}


def _find_queue(name: str) -> Queue:
    queues = {
        ready_publisher.task_queue(resource_class).name: ready_publisher.task_queue(resource_class)
        for resource_class in ready_publisher.DEFAULT_CLASSES
    }
    if name not in queues:
        raise NotFound(f"no queue {name}; queues are {', '.join(queues)}")
    return queues[name]
