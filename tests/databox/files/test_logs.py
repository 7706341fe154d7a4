"""Logs: appended by offset, read and followed."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from libs.common.errors import Conflict
from libs.common.settings import Settings
from services.databox.files.logs import CHUNK_BYTES, MAX_LOG_BYTES, TRUNCATION_NOTE, LogTail, plan_append
from tests.databox.conftest import DEADLINE_S, TOKEN, Databox, Response, start_databox

LOG = "/internal/apps/shop/logs/run-1.train.1"


async def append_log(databox: Databox, offset: int, data: bytes, query: str = "", log: str = LOG) -> Response:
    return await databox.call("POST", f"{log}?offset={offset}{query}", data=data)


async def read_log(databox: Databox, offset: int = 0, log: str = LOG) -> Response:
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
        (MAX_LOG_BYTES - 2, MAX_LOG_BYTES - 2, b"ab", [(MAX_LOG_BYTES - 2, b"ab")]),
        (MAX_LOG_BYTES - 2, MAX_LOG_BYTES - 2, b"abc", [(MAX_LOG_BYTES - 2, b"ab"), (MAX_LOG_BYTES, TRUNCATION_NOTE)]),
        (MAX_LOG_BYTES, MAX_LOG_BYTES, b"abc", [(MAX_LOG_BYTES, TRUNCATION_NOTE)]),
        (MAX_LOG_BYTES + len(TRUNCATION_NOTE), MAX_LOG_BYTES, b"abc", []),
        (MAX_LOG_BYTES + len(TRUNCATION_NOTE), MAX_LOG_BYTES + 5000, b"abc", []),
    ],
)
def test_only_what_is_new_is_stored(size: int, offset: int, data: bytes, stored: list[tuple[int, bytes]]) -> None:
    assert plan_append(size, offset, data) == stored


def test_a_gap_is_a_conflict_that_names_what_is_expected() -> None:
    with pytest.raises(Conflict) as refused:
        plan_append(3, 4, b"x")
    assert refused.value.extensions == {"expected": 3}


def test_log_tail_is_built_from_the_files() -> None:
    tail = LogTail().with_file("0000000000000000", 10).with_file("0000000000000010", 5).with_file("other", 99)
    assert tail == LogTail(size=15, last_offset=10, ended=False)
    assert tail.with_file("end", 0) == LogTail(size=15, last_offset=10, ended=True)


async def test_chunks_make_a_log(databox: Databox) -> None:
    assert (await append_log(databox, 0, b"one\n")).status == 204
    assert (await append_log(databox, 4, b"two\n")).status == 204
    response = await read_log(databox)
    assert (response.status, response.content, response.headers["X-Mlmesh-Log-Size"]) == (200, b"one\ntwo\n", "8")
    for offset in range(10):
        assert (await read_log(databox, offset)).content == b"one\ntwo\n"[offset:]


async def test_a_log_that_is_not_there_is_empty(databox: Databox) -> None:
    response = await read_log(databox)
    assert (response.status, response.content, response.headers["X-Mlmesh-Log-Size"]) == (200, b"", "0")


async def test_repeated_chunks_are_stored_once(databox: Databox) -> None:
    for offset, data in ((0, b"one\n"), (0, b"one\n"), (0, b"one\ntwo\n"), (4, b"two\n"), (6, b"o\nthree\n")):
        assert (await append_log(databox, offset, data)).status == 204
    assert (await read_log(databox)).content == b"one\ntwo\nthree\n"


async def test_a_gap_is_refused_and_stores_nothing(databox: Databox) -> None:
    await append_log(databox, 0, b"one\n")
    response = await append_log(databox, 5, b"x")
    assert (response.status, response.body["expected"]) == (409, 4)
    assert (await read_log(databox)).content == b"one\n"


async def test_many_chunks_are_read_from_any_offset(databox: Databox) -> None:
    pieces = [bytes([65 + number]) * (CHUNK_BYTES if number % 3 == 0 else 1000) for number in range(8)]
    content, offset = b"".join(pieces), 0
    for piece in pieces:
        assert (await append_log(databox, offset, piece)).status == 204
        offset += len(piece)
    for offset in (
        0,
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        CHUNK_BYTES + 2500,
        len(content) - 1,
        len(content),
    ):
        assert (await read_log(databox, offset)).content == content[offset:], offset


async def test_chunks_have_a_largest_size(databox: Databox) -> None:
    assert (await append_log(databox, 0, b"x" * CHUNK_BYTES)).status == 204
    assert (await append_log(databox, CHUNK_BYTES, b"x" * (CHUNK_BYTES + 1))).status == 413
    assert (await append_log(databox, -1, b"x")).status == 422


async def test_logs_of_similar_names_are_separate(databox: Databox) -> None:
    await append_log(databox, 0, b"one")
    await append_log(databox, 0, b"ten", log=LOG + "0")
    await append_log(databox, 0, b"below", log=LOG + "/sub")
    assert (await read_log(databox)).content == b"one"
    assert (await read_log(databox, log=LOG + "/sub")).content == b"below"
    assert (await append_log(databox, 0, b"x", log="/internal/apps/shop/logs/a%2F..%2Fb")).status == 422


async def test_a_reader_waits_for_what_comes_next(databox: Databox) -> None:
    await append_log(databox, 0, b"one\n")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with databox.session.get(f"{databox.url}{LOG}?wait=9&offset=2", headers=headers) as response:
        assert response.headers["X-Mlmesh-Log-Size"] == "4"
        assert await response.read() == b"e\n"
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        reading = group.create_task(databox.call("GET", f"{LOG}?wait=20&offset=4"))
        await append_log(databox, 4, b"two\n")
    assert reading.result().content == b"two\n"
    assert (await databox.call("GET", f"{LOG}?wait=0.1&offset=8")).content == b""


async def test_a_reader_may_wait_for_a_log_that_has_not_begun(databox: Databox) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        reading = group.create_task(databox.call("GET", f"{LOG}?wait=20"))
        await append_log(databox, 0, b"one\n", "&end=1")
    assert reading.result().content == b"one\n"


async def test_reading_a_complete_log_does_not_wait(databox: Databox) -> None:
    await append_log(databox, 0, b"one\n")
    for _ in range(2):
        assert (await append_log(databox, 4, b"", "&end=1")).status == 204
    async with asyncio.timeout(DEADLINE_S):
        assert (await databox.call("GET", f"{LOG}?wait=20&offset=4")).content == b""


async def test_a_log_is_read_and_continued_on_another_replica(databox: Databox, settings: Settings) -> None:
    async with start_databox(settings) as other:
        await append_log(databox, 0, b"one\n")
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            reading = group.create_task(databox.call("GET", f"{LOG}?wait=20&offset=4"))
            assert (await append_log(other, 4, b"two\n")).status == 204
        assert reading.result().content == b"two\n"
        assert (await append_log(databox, 8, b"three\n")).status == 204
        assert (await append_log(other, 8, b"three\n")).status == 204
        assert (await append_log(other, 14, b"four\n", "&end=1")).status == 204
        assert (await databox.call("GET", LOG)).content == b"one\ntwo\nthree\nfour\n"


async def test_a_disconnected_log_reader_does_not_block_appends(databox: Databox) -> None:
    await append_log(databox, 0, b"one\n")
    limit = aiohttp.ClientTimeout(total=0.2)
    with pytest.raises(TimeoutError):
        await databox.call("GET", f"{LOG}?wait=20&offset=4", timeout=limit)
    assert (await append_log(databox, 4, b"two\n")).status == 204


async def test_an_old_log_is_removed_with_its_area(databox: Databox) -> None:
    await append_log(databox, 0, b"one\n")
    assert (await databox.call("DELETE", "/internal/apps/shop/areas/logs/run-1.train.1")).status == 204
    assert (await read_log(databox)).content == b""
