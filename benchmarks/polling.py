"""What it costs to ask 1,000 local repositories for new commits, each every 30 s: the share of a core."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.idle import cpu_percent
from deploy.demo.mesh import Mesh
from deploy.demo.repository import Repository
from libs.common.db import Database
from services.registry.apps import App
from services.registry.apps import Repository as Followed
from services.registry.db import apps

REPOSITORIES = 1000
POLL_INTERVAL_S = 30.0
LIMIT_PERCENT = 2.0
SETTLE_S = 45.0
"""Each repository has been asked once by then."""
MEASURED_S = 60.0


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        mesh = Mesh(Path(folder))
        try:
            mesh.start()
            alone = cpu_percent(mesh.pid, SETTLE_S, MEASURED_S, children=True)
            mesh.stop()
            head, folders = make_repositories(Path(folder) / "git")
            asyncio.run(follow_repositories(mesh.data, head, folders))
            mesh.start()
            polling = cpu_percent(mesh.pid, SETTLE_S, MEASURED_S, children=True) - alone
        finally:
            mesh.stop()
    note = f"of a core, {REPOSITORIES} local repositories every {POLL_INTERVAL_S:.0f} s"
    yield Figure("polling", polling, LIMIT_PERCENT, "%", note)


def make_repositories(folder: Path) -> tuple[str, list[Path]]:
    """Bare repositories with one commit, and its id."""
    first = Repository(folder / "first")
    (first.working / "README").write_text("nothing")
    first.commit("Begin")
    first.push()
    copies = [folder / f"copy-{number}.git" for number in range(REPOSITORIES)]
    for copy in copies:
        shutil.copytree(first.origin, copy, ignore=shutil.ignore_patterns("*.sample"))
    return first.head, copies


async def follow_repositories(data: Path, head: str, folders: list[Path]) -> None:
    """As apps that have seen the head: nothing is deployed."""
    database = Database(f"sqlite+aiosqlite:///{data}/mlmesh.db")
    async with database.write() as conn:
        for number, folder in enumerate(folders):
            name = f"app-{number}"
            await apps.add(conn, App(name, name), time.time())
            await apps.put_repository(
                conn, Followed(name, name, folder.as_uri(), "main", "manifests", None, POLL_INTERVAL_S, None, head=head)
            )
            await apps.update_repository(conn, name, head=head)
    await database.close()
