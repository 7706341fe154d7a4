"""Publications of a stage's outputs: idempotent and atomic, also across a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from libs.common.bus.memory import MemoryBus
from libs.common.errors import Gone, Unavailable
from libs.common.locations import Location
from libs.common.protocol.publication import Move
from libs.common.settings import Settings
from services.databox import db
from services.databox.dependencies import Dependencies, open_dependencies
from services.databox.files.publications import Publications
from services.databox.store import Stat, Store
from tests.databox.conftest import Databox, Response
from tests.databox.routes.test_staging import create_targets, list_sources

OUT = {"area": "runs/1/train/1/out"}
GROUP = {"box": "data", "user": "alice", "group": "results"}
MOVE = Move(source=Location(**OUT), target=Location(**GROUP))


async def store_outputs(databox: Databox, **files: bytes) -> None:
    for name, content in files.items():
        url = (await create_targets(databox, (OUT | {"file": name}, len(content)))).body["targets"][0]["url"]
        assert (await databox.fetch("PUT", url, data=content)).status == 200


async def publish_moves(databox: Databox, name: str = "p1", *moves: tuple[dict[str, Any], dict[str, Any]]) -> Response:
    body = {"moves": [{"source": source, "target": target} for source, target in moves or [(OUT, GROUP)]]}
    return await databox.call("PUT", f"/internal/apps/shop/publications/{name}", json=body)


async def read_content(databox: Databox, path: str) -> bytes:
    return (await databox.request_file("GET", path, query="download=1")).content


async def test_a_folder_is_copied_over_what_is_there(databox: Databox) -> None:
    await databox.put("data/results/kept", b"kept")
    await databox.put("data/results/model", b"old")
    await store_outputs(databox, model=b"trained", report=b"good")
    response = await publish_moves(databox)
    assert (response.status, response.body) == (200, {"files": {"number": 2, "bytes": 11}})
    assert await databox.list_names("data/results/") == ["kept", "model", "report"]
    assert await read_content(databox, "data/results/model") == b"trained"
    box = await databox.get_box()
    assert (box["used"], box["reserved"]) == (15, 0)
    assert len((await list_sources(databox, OUT)).body["sources"][0]) == 2


async def test_a_repeated_publication_returns_the_first_result(databox: Databox) -> None:
    await store_outputs(databox, model=b"trained")
    first = await publish_moves(databox)
    await databox.put("data/results/model", b"changed by a caller")
    second = await publish_moves(databox)
    assert (second.status, second.body) == (200, first.body)
    assert await read_content(databox, "data/results/model") == b"changed by a caller"


async def test_an_empty_folder_is_published_as_nothing(databox: Databox) -> None:
    response = await publish_moves(databox)
    assert (response.status, response.body) == (200, {"files": {"number": 0, "bytes": 0}})


async def test_over_quota_is_rolled_back_and_a_retry_may_succeed(databox: Databox) -> None:
    await databox.put("data/other/f", b"x" * 500)
    await store_outputs(databox, a=b"x" * 300, b=b"x" * 201)
    response = await publish_moves(databox)
    assert (response.status, response.body["used"], response.body["reserved"], response.body["capacity"]) == (
        413,
        500,
        0,
        1000,
    )
    assert await databox.list_names("data/") == ["other/f"]
    assert (await databox.get_box())["reserved"] == 0
    assert (await databox.request_file("DELETE", "data/other/f")).status == 204
    assert (await publish_moves(databox)).status == 200
    assert await databox.list_names("data/") == ["results/a", "results/b"]


async def test_over_quota_in_one_of_two_boxes_is_rolled_back(databox: Databox) -> None:
    await databox.declare_boxes(data=1000, small=1)
    await store_outputs(databox, a=b"xx")
    response = await publish_moves(databox, "p1", (OUT, GROUP), (OUT, GROUP | {"box": "small"}))
    assert (response.status, response.body["capacity"]) == (413, 1)
    assert await databox.list_names("data/") == []
    assert [(await databox.get_box(name))["reserved"] for name in ("data", "small")] == [0, 0]


async def test_a_replacement_reserves_only_the_difference(databox: Databox) -> None:
    await databox.put("data/results/model", b"x" * 900)
    await store_outputs(databox, model=b"y" * 1000)
    assert (await publish_moves(databox)).status == 200
    assert (await databox.get_box())["used"] == 1000


async def test_a_publication_publishes_file_changed_events(databox: Databox) -> None:
    await store_outputs(databox, model=b"trained")
    await publish_moves(databox)
    assert (await databox.next_change()).box == "data"


async def test_a_publication_may_stay_in_the_internal_area(databox: Databox) -> None:
    await store_outputs(databox, model=b"trained")
    area = {"area": "runs/1/outputs/model"}
    assert (await publish_moves(databox, "p1", (OUT, area))).status == 200
    assert [item["name"] for item in (await list_sources(databox, area)).body["sources"][0]] == ["model"]


async def test_bad_moves_are_refused(databox: Databox) -> None:
    for move in ((OUT, GROUP | {"file": "f"}), (OUT, GROUP | {"user": "anonymous"}), (OUT, {"area": "../x"})):
        assert (await publish_moves(databox, "p1", move)).status == 422, move
    assert (await publish_moves(databox, "p2", (OUT, GROUP | {"box": "none"}))).status == 404


async def test_concurrent_calls_publish_once(databox: Databox) -> None:
    await store_outputs(databox, **{f"f{number}": b"x" * 50 for number in range(10)})
    responses = await asyncio.gather(*(publish_moves(databox) for _ in range(4)))
    assert [response.body for response in responses] == [{"files": {"number": 10, "bytes": 500}}] * 4
    assert (await databox.get_box())["used"] == 500


class FailingStore:
    """A store that becomes unavailable after two copies."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._started = self._copied = 0
        self._gone = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def copy(self, source: Stat, target: str) -> Stat:
        self._started += 1
        if self._started > 2:
            await self._gone.wait()
            raise Unavailable("the store went away")
        copied = await self._store.copy(source, target)
        self._copied += 1
        if self._copied == 2:
            self._gone.set()
        return copied


@asynccontextmanager
async def open_test_dependencies(settings: Settings) -> AsyncIterator[Dependencies]:
    async with open_dependencies(settings, MemoryBus()) as deps:
        yield deps


async def write_outputs(deps: Dependencies, names: str, size: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * size

    for name in names:
        await deps.store.put(f"shop/.internal/{OUT['area']}/{name}", body(), size)


async def begin_failing_publication(deps: Dependencies) -> None:
    """Begin a publication of five files that fails after two."""
    async with deps.database.write() as conn:
        await db.declare_boxes(conn, "shop", {"data": 500})
    await write_outputs(deps, "abcde", 100)
    store: Any = FailingStore(deps.store)
    failing = Publications(deps.database, store, deps.quota, deps.changes)
    with pytest.raises(Unavailable, match="the store went away"):
        await failing.publish("shop", "p1", [MOVE])


async def list_published(deps: Dependencies) -> list[str]:
    return [stat.key.rpartition("/")[2] async for stat in deps.store.list("shop/data/users/")]


async def test_an_interrupted_publication_is_completed_by_the_next_call(settings: Settings) -> None:
    async with open_test_dependencies(settings) as deps:
        await begin_failing_publication(deps)
        assert len(await list_published(deps)) == 2
    async with open_test_dependencies(settings) as deps:
        response = await deps.publications.publish("shop", "p1", [MOVE])
        assert response.to_json() == {"files": {"number": 5, "bytes": 500}}
        assert await list_published(deps) == list("abcde")


async def test_an_interrupted_publication_over_quota_is_rolled_back(settings: Settings) -> None:
    async with open_test_dependencies(settings) as deps:
        await begin_failing_publication(deps)
        async with deps.database.write() as conn:
            await db.declare_boxes(conn, "shop", {"data": 499})
        response = deps.publications.publish("shop", "p1", [MOVE])
        with pytest.raises(Exception, match="box data is full") as refused:
            await response
        assert getattr(refused.value, "status", None) == 413
        assert await list_published(deps) == []


async def test_an_interrupted_publication_keeps_its_reservation(settings: Settings) -> None:
    async with open_test_dependencies(settings) as deps:
        await begin_failing_publication(deps)
        async with deps.database.read() as conn:
            assert await db.sum_reserved_bytes(conn, "shop", "data") == 500


CLASHES = [
    ("data/results/ok.txt/inner", {"ok.txt": b"x"}, GROUP, "data/results/ok.txt", "data/results/ok.txt/inner"),
    ("data/results/sub", {"sub/x": b"x"}, GROUP, "data/results/sub/x", "data/results/sub"),
    ("data/results/a", {"x": b"x"}, GROUP | {"group": "results/a"}, "data/results/a/aaa", "data/results/a"),
]


@pytest.mark.parametrize(("existing", "outputs", "target", "file", "in_the_way"), CLASHES)
async def test_a_clash_of_a_file_and_a_folder_is_409_and_rolled_back(
    databox: Databox, existing: str, outputs: dict[str, bytes], target: dict[str, Any], file: str, in_the_way: str
) -> None:
    await databox.put(existing)
    await store_outputs(databox, aaa=b"first", **outputs)
    response = await publish_moves(databox, "p1", (OUT, target))
    assert response.status == 409, response.body
    assert (response.body["file"], response.body["in_the_way"]) == (file, in_the_way)
    assert response.body["detail"].startswith(f"{file} cannot be stored: {in_the_way} exists")
    box = await databox.get_box()
    assert (box["used"], box["reserved"]) == (1, 0)


async def test_two_outputs_that_clash_with_one_another_are_refused(databox: Databox) -> None:
    other = {"area": "runs/1/train/1/other"}
    await store_outputs(databox, x=b"file")
    url = (await create_targets(databox, (other | {"file": "x/y"}, 1))).body["targets"][0]["url"]
    assert (await databox.fetch("PUT", url, data=b"y")).status == 200
    response = await publish_moves(databox, "p1", (OUT, GROUP), (other, GROUP))
    assert (response.status, await databox.list_names("data/results/")) == (409, [])


async def test_withdrawing_keeps_files_that_existed_before(databox: Databox) -> None:
    await databox.put("data/results/model", b"old")
    await store_outputs(databox, model=b"trained", report=b"good")
    await publish_moves(databox)
    for _ in range(2):
        response = await databox.call("DELETE", "/internal/apps/shop/publications/p1")
        assert response.status == 204
    assert await databox.list_names("data/results/") == ["model"]
    box = await databox.get_box()
    assert (box["used"], box["reserved"]) == (7, 0)


class PausingStore(FailingStore):
    """A store whose copies wait for `resume`."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.copy_started, self.resume = asyncio.Event(), asyncio.Event()

    async def copy(self, source: Stat, target: str) -> Stat:
        self.copy_started.set()
        await self.resume.wait()
        return await self._store.copy(source, target)


async def test_withdrawing_stops_a_running_publication(settings: Settings) -> None:
    async with open_test_dependencies(settings) as deps:
        async with deps.database.write() as conn:
            await db.declare_boxes(conn, "shop", {"data": 5000})
        await write_outputs(deps, "abcdefghijklmnop", 100)
        store = PausingStore(deps.store)
        slow = Publications(deps.database, store, deps.quota, deps.changes)
        publishing = asyncio.create_task(slow.publish("shop", "p1", [MOVE]))
        await store.copy_started.wait()
        withdrawing = asyncio.create_task(slow.withdraw("shop", "p1"))
        await asyncio.sleep(0)
        store.resume.set()
        with pytest.raises(Gone):
            await publishing
        await withdrawing
        assert await list_published(deps) == []
