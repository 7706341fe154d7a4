"""Apps with a first commit: rows and repository, or nothing of both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.db import Database
from libs.common.errors import Conflict
from libs.common.identity import Caller
from services.registry.app_creation import AppCreator, AppExists
from services.registry.apps import App
from services.registry.db import apps, deployments, members
from services.registry.git.client import GitClient
from services.registry.git.hosted_repositories import UNFINISHED, HostedRepositories
from tests.registry.conftest import make_tables

FILES = {"manifests/a.yml": b"kind: X\n", "a.py": b"a = 1\n"}
LEAF = App("leaf", "Leaf")
CI = Caller(token_name="ci")


class World:
    def __init__(self, url: str, folder: Path) -> None:
        self.database = Database(url)
        self.folder = folder / "repositories"
        self.hosted = HostedRepositories(self.folder, GitClient(folder / "home"), "http://mesh")
        self.pushed_to: set[str] = set()
        self.woken = 0

    def creator(self) -> AppCreator:
        return AppCreator(self.database, self.hosted, self.pushed_to.__contains__, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def create(self, app: App = LEAF, caller: Caller = CI) -> str:
        return (await self.creator().create(app, FILES, "First version", caller)).id

    async def forget(self, app: str) -> None:
        """The rows, as if their transaction was never committed."""
        async with self.database.write() as conn:
            await apps.drop(conn, app)

    async def is_recorded(self, app: str) -> bool:
        async with self.database.read() as conn:
            return await apps.get(conn, app) is not None

    def list_folders(self) -> list[str]:
        return sorted(folder.name for folder in self.folder.iterdir())


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    await make_tables(database_url)
    world = World(database_url, tmp_path)
    yield world
    await world.database.close()


async def test_an_app_is_made_with_its_repository_and_deployment(world: World) -> None:
    deployment = await world.create()
    async with world.database.read() as conn:
        repository = await apps.get_repository(conn, "leaf")
        row = await deployments.get(conn, deployment)
    assert repository is not None
    assert (repository.url, repository.branch, repository.path) == (None, "main", "manifests")
    assert row is not None
    assert (row.app, row.caused_by, row.status, world.woken) == ("leaf", "token ci", "pending", 1)
    assert await world.hosted.read_ref("leaf", "HEAD") == await world.hosted.read_ref("leaf", "refs/heads/main")
    assert world.list_folders() == ["leaf.git"]
    assert not (world.folder / "leaf.git" / UNFINISHED).exists()


async def test_a_person_owns_the_app_and_is_the_author(world: World) -> None:
    await world.create(caller=Caller(person="petrova", user="petrova"))
    async with world.database.read() as conn:
        owners = await members.list_members(conn, "leaf")
    assert [(owner.kind, owner.name, owner.role) for owner in owners] == [("user", "petrova", "owner")]
    written = await GitClient(world.folder / "home").run(
        "log", "--format=%an", "main", folder=world.hosted.get_folder("leaf"), timeout=20.0
    )
    assert written == b"petrova\n"


async def test_of_two_at_once_one_is_made(world: World) -> None:
    results = await asyncio.gather(world.create(), world.create(), return_exceptions=True)
    assert [type(result) for result in results if isinstance(result, BaseException)] == [AppExists]
    assert await world.hosted.read_ref("leaf", "refs/heads/main") is not None
    assert world.list_folders() == ["leaf.git"]


async def test_an_empty_repository_of_a_push_that_never_came_is_replaced(world: World) -> None:
    await world.hosted.ensure_repository("leaf")
    await world.create()
    assert await world.hosted.read_ref("leaf", "refs/heads/main") is not None
    assert world.list_folders() == ["leaf.git"]


async def test_while_somebody_pushes_to_the_name_nothing_is_made(world: World) -> None:
    await world.hosted.ensure_repository("leaf")
    world.pushed_to.add("leaf")
    with pytest.raises(Conflict, match="somebody pushes to leaf now"):
        await world.create()
    assert not await world.is_recorded("leaf")
    assert await world.hosted.read_ref("leaf", "refs/heads/main") is None
    assert world.list_folders() == ["leaf.git"]


async def test_a_failure_in_the_transaction_leaves_neither_rows_nor_repository(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = world.hosted.place_repository

    def place_and_fail(prepared: Path, app: str) -> None:
        place(prepared, app)
        raise OSError("the disk is gone")

    monkeypatch.setattr(world.hosted, "place_repository", place_and_fail)
    with pytest.raises(Exception, match="does not respond"):
        await world.create()
    assert not await world.is_recorded("leaf")
    assert world.list_folders() == []
    monkeypatch.undo()
    assert await world.create()


async def test_what_a_killed_registry_left_is_removed_at_the_next_start(world: World) -> None:
    await world.create()
    (world.folder / "leaf.git" / UNFINISHED).touch()
    await world.forget("leaf")
    (world.folder / "new-old/repository").mkdir(parents=True)
    os.utime(world.folder / "new-old", (0, 0))
    (world.folder / "new-young").mkdir()
    await world.creator().remove_unfinished()
    assert world.list_folders() == ["new-young"]
    assert not await world.is_recorded("leaf")


async def test_a_recorded_app_keeps_its_repository_and_loses_the_mark(world: World) -> None:
    await world.create()
    (world.folder / "leaf.git" / UNFINISHED).touch()
    await world.creator().remove_unfinished()
    assert await world.is_recorded("leaf")
    assert await world.hosted.read_ref("leaf", "refs/heads/main") is not None
    assert not (world.folder / "leaf.git" / UNFINISHED).exists()


async def test_a_repository_without_rows_and_without_the_mark_is_left_alone(world: World) -> None:
    """Such as those of a database that was restored from yesterday."""
    await world.create()
    await world.forget("leaf")
    await world.creator().remove_unfinished()
    assert world.list_folders() == ["leaf.git"]


async def test_a_name_whose_unfinished_repository_is_still_there_can_be_used(world: World) -> None:
    await world.create()
    (world.folder / "leaf.git" / UNFINISHED).touch()
    await world.forget("leaf")
    await world.create()
    assert not (world.folder / "leaf.git" / UNFINISHED).exists()
    assert await world.is_recorded("leaf")
