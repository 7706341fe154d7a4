"""Publishing a stage's outputs: once, all or nothing, also over a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from libs.common.bus.memory import MemoryBus
from libs.common.errors import Gone, Unavailable
from libs.common.locations import Location
from libs.common.settings import Settings
from services.databox import db as tables
from services.databox.dependencies import Parts, open_parts
from services.databox.files.publications import Publications
from services.databox.store import Stat, Store
from tests.databox.conftest import Answer, Databox
from tests.databox.test_staging import sources, targets

OUT = {"area": "runs/1/train/1/out"}
GROUP = {"box": "data", "user": "alice", "group": "results"}


async def produced(databox: Databox, **files: bytes) -> None:
    for name, content in files.items():
        url = (await targets(databox, (OUT | {"file": name}, len(content)))).body["targets"][0]["url"]
        assert (await databox.fetch("PUT", url, data=content)).status == 200


async def publish(databox: Databox, name: str = "p1", *moves: tuple[dict[str, Any], dict[str, Any]]) -> Answer:
    body = {"moves": [{"source": source, "target": target} for source, target in moves or [(OUT, GROUP)]]}
    return await databox.call("PUT", f"/internal/apps/shop/publications/{name}", json=body)


async def content(databox: Databox, path: str) -> bytes:
    return (await databox.files("GET", path, query="download=1")).content


async def test_a_folder_is_copied_over_what_is_there(databox: Databox) -> None:
    await databox.put("data/results/kept", b"kept")
    await databox.put("data/results/model", b"old")
    await produced(databox, model=b"trained", report=b"good")
    answer = await publish(databox)
    assert (answer.status, answer.body) == (200, {"files": {"number": 2, "bytes": 11}})
    assert await databox.names("data/results/") == ["kept", "model", "report"]
    assert await content(databox, "data/results/model") == b"trained"
    box = await databox.box()
    assert (box["used"], box["reserved"]) == (15, 0)
    assert len((await sources(databox, OUT)).body["sources"][0]) == 2


async def test_the_same_publication_again_gives_the_same_answer_and_does_nothing(databox: Databox) -> None:
    await produced(databox, model=b"trained")
    first = await publish(databox)
    await databox.put("data/results/model", b"changed by a caller")
    again = await publish(databox)
    assert (again.status, again.body) == (200, first.body)
    assert await content(databox, "data/results/model") == b"changed by a caller"


async def test_an_empty_folder_is_published_as_nothing(databox: Databox) -> None:
    answer = await publish(databox)
    assert (answer.status, answer.body) == (200, {"files": {"number": 0, "bytes": 0}})


async def test_over_quota_nothing_stays_and_a_later_try_may_fit(databox: Databox) -> None:
    await databox.put("data/other/f", b"x" * 500)
    await produced(databox, a=b"x" * 300, b=b"x" * 201)
    answer = await publish(databox)
    assert (answer.status, answer.body["used"], answer.body["reserved"], answer.body["capacity"]) == (413, 500, 0, 1000)
    assert await databox.names("data/") == ["other/f"]
    assert (await databox.box())["reserved"] == 0
    assert (await databox.files("DELETE", "data/other/f")).status == 204
    assert (await publish(databox)).status == 200
    assert await databox.names("data/") == ["results/a", "results/b"]


async def test_over_quota_in_one_of_two_boxes_nothing_stays(databox: Databox) -> None:
    await databox.boxes(data=1000, small=1)
    await produced(databox, a=b"xx")
    answer = await publish(databox, "p1", (OUT, GROUP), (OUT, GROUP | {"box": "small"}))
    assert (answer.status, answer.body["capacity"]) == (413, 1)
    assert await databox.names("data/") == []
    assert [(await databox.box(name))["reserved"] for name in ("data", "small")] == [0, 0]


async def test_what_replaces_needs_only_the_difference(databox: Databox) -> None:
    await databox.put("data/results/model", b"x" * 900)
    await produced(databox, model=b"y" * 1000)
    assert (await publish(databox)).status == 200
    assert (await databox.box())["used"] == 1000


async def test_a_publication_rings_the_doorbell_of_its_boxes(databox: Databox) -> None:
    await produced(databox, model=b"trained")
    await publish(databox)
    assert (await databox.heard()).box == "data"


async def test_a_publication_may_stay_in_the_internal_area(databox: Databox) -> None:
    await produced(databox, model=b"trained")
    kept = {"area": "runs/1/outputs/model"}
    assert (await publish(databox, "p1", (OUT, kept))).status == 200
    assert [item["name"] for item in (await sources(databox, kept)).body["sources"][0]] == ["model"]


async def test_bad_moves_are_refused(databox: Databox) -> None:
    for move in ((OUT, GROUP | {"file": "f"}), (OUT, GROUP | {"user": "anonymous"}), (OUT, {"area": "../x"})):
        assert (await publish(databox, "p1", move)).status == 422, move
    assert (await publish(databox, "p2", (OUT, GROUP | {"box": "none"}))).status == 404


async def test_the_same_publication_at_the_same_time_is_done_once(databox: Databox) -> None:
    await produced(databox, **{f"f{number}": b"x" * 50 for number in range(10)})
    answers = await asyncio.gather(*(publish(databox) for _ in range(4)))
    assert [answer.body for answer in answers] == [{"files": {"number": 10, "bytes": 500}}] * 4
    assert (await databox.box())["used"] == 500


class Breaking:
    """A store whose server goes away after two copies."""

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
async def parts_of(settings: Settings) -> AsyncIterator[Parts]:
    async with open_parts(settings, MemoryBus()) as parts:
        yield parts


async def write(parts: Parts, names: str, size: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * size

    for name in names:
        await parts.store.put(f"shop/.internal/{OUT['area']}/{name}", body(), size)


async def broken_off(parts: Parts) -> None:
    """Begin a publication of five files that fails in the middle."""
    async with parts.database.write() as c:
        await tables.declare(c, "shop", {"data": 500})
    await write(parts, "abcde", 100)
    store: Any = Breaking(parts.store)
    failing = Publications(parts.database, store, parts.quota, parts.changes)
    with pytest.raises(Unavailable, match="the store went away"):
        await failing.publish("shop", "p1", [(Location(**OUT), Location(**GROUP))])


async def published(parts: Parts) -> list[str]:
    return [stat.key.rpartition("/")[2] async for stat in parts.store.list("shop/data/users/")]


async def test_what_broke_off_is_finished_by_the_next_call(settings: Settings) -> None:
    async with parts_of(settings) as parts:
        await broken_off(parts)
        assert len(await published(parts)) == 2
    async with parts_of(settings) as parts:
        answer = await parts.publications.publish("shop", "p1", [(Location(**OUT), Location(**GROUP))])
        assert answer == {"files": {"number": 5, "bytes": 500}}
        assert await published(parts) == list("abcde")


async def test_what_broke_off_and_does_not_fit_any_more_is_removed(settings: Settings) -> None:
    async with parts_of(settings) as parts:
        await broken_off(parts)
        async with parts.database.write() as c:
            await tables.declare(c, "shop", {"data": 499})
        answer = parts.publications.publish("shop", "p1", [(Location(**OUT), Location(**GROUP))])
        with pytest.raises(Exception, match="box data is full") as refused:
            await answer
        assert getattr(refused.value, "status", None) == 413
        assert await published(parts) == []


async def test_room_is_held_while_a_publication_is_broken_off(settings: Settings) -> None:
    async with parts_of(settings) as parts:
        await broken_off(parts)
        async with parts.database.read() as c:
            assert await tables.reserved(c, "shop", "data") == 500


CLASHES = [
    ("data/results/ok.txt/inner", {"ok.txt": b"x"}, GROUP, "data/results/ok.txt", "data/results/ok.txt/inner"),
    ("data/results/sub", {"sub/x": b"x"}, GROUP, "data/results/sub/x", "data/results/sub"),
    ("data/results/a", {"x": b"x"}, GROUP | {"group": "results/a"}, "data/results/a/aaa", "data/results/a"),
]


@pytest.mark.parametrize(("there", "made", "target", "file", "in_the_way"), CLASHES)
async def test_a_file_where_a_folder_is_is_refused_for_good_and_leaves_nothing(
    databox: Databox, there: str, made: dict[str, bytes], target: dict[str, Any], file: str, in_the_way: str
) -> None:
    await databox.put(there)
    await produced(databox, aaa=b"first", **made)
    answer = await publish(databox, "p1", (OUT, target))
    assert answer.status == 409, answer.body
    assert (answer.body["file"], answer.body["in_the_way"]) == (file, in_the_way)
    assert answer.body["detail"].startswith(f"{file} cannot be stored: {in_the_way} is there")
    box = await databox.box()
    assert (box["used"], box["reserved"]) == (1, 0)


async def test_two_outputs_that_clash_with_one_another_are_refused(databox: Databox) -> None:
    other = {"area": "runs/1/train/1/other"}
    await produced(databox, x=b"file")
    url = (await targets(databox, (other | {"file": "x/y"}, 1))).body["targets"][0]["url"]
    assert (await databox.fetch("PUT", url, data=b"y")).status == 200
    answer = await publish(databox, "p1", (OUT, GROUP), (other, GROUP))
    assert (answer.status, await databox.names("data/results/")) == (409, [])


async def test_a_withdrawn_publication_leaves_what_was_there_before(databox: Databox) -> None:
    await databox.put("data/results/model", b"old")
    await produced(databox, model=b"trained", report=b"good")
    await publish(databox)
    for _ in range(2):
        answer = await databox.call("DELETE", "/internal/apps/shop/publications/p1")
        assert answer.status == 204
    assert await databox.names("data/results/") == ["model"]
    box = await databox.box()
    assert (box["used"], box["reserved"]) == (7, 0)


class Halting(Breaking):
    """A store whose copies wait for a word."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def copy(self, source: Stat, target: str) -> Stat:
        self.begun.set()
        await self.go.wait()
        return await self._store.copy(source, target)


async def test_one_that_is_under_way_ends_when_it_is_withdrawn(settings: Settings) -> None:
    async with parts_of(settings) as parts:
        async with parts.database.write() as c:
            await tables.declare(c, "shop", {"data": 5000})
        await write(parts, "abcdefghijklmnop", 100)
        store = Halting(parts.store)
        slow = Publications(parts.database, store, parts.quota, parts.changes)
        begun = asyncio.create_task(slow.publish("shop", "p1", [(Location(**OUT), Location(**GROUP))]))
        await store.begun.wait()
        going = asyncio.create_task(slow.withdraw("shop", "p1"))
        await asyncio.sleep(0)
        store.go.set()
        with pytest.raises(Gone):
            await begun
        await going
        assert await published(parts) == []
