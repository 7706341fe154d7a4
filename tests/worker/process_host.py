"""Runs a worker with the process runtime and lists what remains of its tasks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from libs.common.bus.memory import MemoryBus
from services.worker.app import create
from tests.worker.fake_mesh import FakeMesh


@asynccontextmanager
async def run_worker(mesh: FakeMesh, folder: Path, **over: Any) -> AsyncIterator[None]:
    app = create(mesh.make_settings(folder).with_values(**over), MemoryBus())
    async with app.router.lifespan_context(app):
        yield


def list_task_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "scratch" / "tasks" / "w1").iterdir())


def list_pids(folder: Path) -> list[int]:
    return [json.loads(file.read_text())["pid"] for file in folder.glob("scratch/tasks/w1/*/container.json")]
