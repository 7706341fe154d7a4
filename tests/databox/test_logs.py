"""Logs: appended by offset, read and followed."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from libs.common.errors import Conflict
from libs.common.settings import Settings
from services.databox.files.logs import CAP_BYTES, CHUNK_BYTES, CUT, Tail, writes
from tests.databox.conftest import DEADLINE_S, TOKEN, Answer, Databox, started

LOG = "/internal/apps/shop/logs/run-1.train.1"


async def append(databox: Databox, offset: int, data: bytes, query: str = "", log: str = LOG) -> Answer:
    return await databox.call("POST", f"{log}?offset={offset}{query}", data=data)


async def read(databox: Databox, offset: int = 0, log: str = LOG) -> Answer:
    return await databox.call("GET", f"{log}?offset={offset}")


@pytest.mark.parametrize(
    ("size", "offset", "data", "stored"),
    [
        (0, 0, b"abc", [(0, b"abc")]),
        (3, 3, b"def", [(3, b"def")]),
        (3, 0, b"abc", []),
        (3, 0, b"ab", []),
        (3, 0, b"abcdef", [(3, b"def")]),
        (3, 2, b"cd", [(3, b"d")]),
        (3, 3, b"", []),
        (CAP_BYTES - 2, CAP_BYTES - 2, b"ab", [(CAP_BYTES - 2, b"ab")]),
        (CAP_BYTES - 2, CAP_BYTES - 2, b"abc", [(CAP_BYTES - 2, b"ab"), (CAP_BYTES, CUT)]),
        (CAP_BYTES, CAP_BYTES, b"abc", [(CAP_BYTES, CUT)]),
        (CAP_BYTES + len(CUT), CAP_BYTES, b"abc", []),
        (CAP_BYTES + len(CUT), CAP_BYTES + 5000, b"abc", []),
    ],
)
def test_only_what_is_new_is_stored(size: int, offset: int, data: bytes, stored: list[tuple[int, bytes]]) -> None:
    assert writes(size, offset, data) == stored


def test_a_gap_is_a_conflict_that_names_what_is_expected() -> None:
    with pytest.raises(Conflict) as refused:
        writes(3, 4, b"x")
    assert refused.value.members == {"expected": 3}


def test_the_tail_is_known_from_the_files() -> None:
    tail = Tail().with_file("0000000000000000", 10).with_file("0000000000000010", 5).with_file("other", 99)
    assert tail == Tail(size=15, last=10, ended=False)
    assert tail.with_file("end", 0) == Tail(size=15, last=10, ended=True)


async def test_chunks_make_a_log(databox: Databox) -> None:
    assert (await append(databox, 0, b"one\n")).status == 204
    assert (await append(databox, 4, b"two\n")).status == 204
    answer = await read(databox)
    assert (answer.status, answer.content, answer.headers["X-Mlmesh-Log-Size"]) == (200, b"one\ntwo\n", "8")
    for offset in range(10):
        assert (await read(databox, offset)).content == b"one\ntwo\n"[offset:]


async def test_a_log_that_is_not_there_is_empty(databox: Databox) -> None:
    answer = await read(databox)
    assert (answer.status, answer.content, answer.headers["X-Mlmesh-Log-Size"]) == (200, b"", "0")


async def test_repeated_chunks_are_stored_once(databox: Databox) -> None:
    for offset, data in ((0, b"one\n"), (0, b"one\n"), (0, b"one\ntwo\n"), (4, b"two\n"), (6, b"o\nthree\n")):
        assert (await append(databox, offset, data)).status == 204
    assert (await read(databox)).content == b"one\ntwo\nthree\n"


async def test_a_gap_is_refused_and_stores_nothing(databox: Databox) -> None:
    await append(databox, 0, b"one\n")
    answer = await append(databox, 5, b"x")
    assert (answer.status, answer.body["expected"]) == (409, 4)
    assert (await read(databox)).content == b"one\n"


async def test_many_chunks_are_read_from_any_offset(databox: Databox) -> None:
    pieces = [bytes([65 + number]) * (CHUNK_BYTES if number % 3 == 0 else 1000) for number in range(8)]
    whole, offset = b"".join(pieces), 0
    for piece in pieces:
        assert (await append(databox, offset, piece)).status == 204
        offset += len(piece)
    for offset in (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, CHUNK_BYTES + 2500, len(whole) - 1, len(whole)):
        assert (await read(databox, offset)).content == whole[offset:], offset


async def test_chunks_have_a_largest_size(databox: Databox) -> None:
    assert (await append(databox, 0, b"x" * CHUNK_BYTES)).status == 204
    assert (await append(databox, CHUNK_BYTES, b"x" * (CHUNK_BYTES + 1))).status == 413
    assert (await append(databox, -1, b"x")).status == 422


async def test_logs_of_similar_names_are_separate(databox: Databox) -> None:
    await append(databox, 0, b"one")
    await append(databox, 0, b"ten", log=LOG + "0")
    await append(databox, 0, b"below", log=LOG + "/sub")
    assert (await read(databox)).content == b"one"
    assert (await read(databox, log=LOG + "/sub")).content == b"below"
    assert (await append(databox, 0, b"x", log="/internal/apps/shop/logs/a%2F..%2Fb")).status == 422


async def test_a_reader_waits_for_what_comes_next(databox: Databox) -> None:
    await append(databox, 0, b"one\n")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with databox.session.get(f"{databox.url}{LOG}?wait=9&offset=2", headers=headers) as answer:
        assert answer.headers["X-Mlmesh-Log-Size"] == "4"
        assert await answer.read() == b"e\n"
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        reading = group.create_task(databox.call("GET", f"{LOG}?wait=20&offset=4"))
        await append(databox, 4, b"two\n")
    assert reading.result().content == b"two\n"
    assert (await databox.call("GET", f"{LOG}?wait=0.1&offset=8")).content == b""


async def test_a_reader_may_wait_for_a_log_that_has_not_begun(databox: Databox) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        reading = group.create_task(databox.call("GET", f"{LOG}?wait=20"))
        await append(databox, 0, b"one\n", "&end=1")
    assert reading.result().content == b"one\n"


async def test_nobody_waits_at_the_end_which_may_come_alone_and_twice(databox: Databox) -> None:
    await append(databox, 0, b"one\n")
    for _ in range(2):
        assert (await append(databox, 4, b"", "&end=1")).status == 204
    async with asyncio.timeout(DEADLINE_S):
        assert (await databox.call("GET", f"{LOG}?wait=20&offset=4")).content == b""


async def test_a_log_is_read_and_continued_on_another_replica(databox: Databox, settings: Settings) -> None:
    async with started(settings) as other:
        await append(databox, 0, b"one\n")
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            reading = group.create_task(databox.call("GET", f"{LOG}?wait=20&offset=4"))
            assert (await append(other, 4, b"two\n")).status == 204
        assert reading.result().content == b"two\n"
        assert (await append(databox, 8, b"three\n")).status == 204
        assert (await append(other, 8, b"three\n")).status == 204
        assert (await append(other, 14, b"four\n", "&end=1")).status == 204
        assert (await databox.call("GET", LOG)).content == b"one\ntwo\nthree\nfour\n"


async def test_a_reader_that_goes_away_is_no_matter(databox: Databox) -> None:
    await append(databox, 0, b"one\n")
    limit = aiohttp.ClientTimeout(total=0.2)
    with pytest.raises(TimeoutError):
        await databox.call("GET", f"{LOG}?wait=20&offset=4", timeout=limit)
    assert (await append(databox, 4, b"two\n")).status == 204


async def test_an_old_log_is_removed_with_its_area(databox: Databox) -> None:
    await append(databox, 0, b"one\n")
    assert (await databox.call("DELETE", "/internal/apps/shop/areas/logs/run-1.train.1")).status == 204
    assert (await read(databox)).content == b""
