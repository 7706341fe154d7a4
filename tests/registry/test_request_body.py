"""Bodies up to a limit, and large ones only so many at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from libs.common.errors import SlowBody, TooLarge, Unavailable
from services.registry.request_body import SMALL_BODY_BYTES, BodyReader, read_body

LARGE = b"x" * (SMALL_BODY_BYTES + 1)


class FakeRequest:
    """A request whose body comes in these chunks; None: it stalls."""

    def __init__(self, chunks: Iterable[bytes | None], **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._chunks = chunks

    async def stream(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if chunk is None:
                await asyncio.Event().wait()
            else:
                yield chunk


def make_request(*chunks: bytes | None, **headers: str) -> Any:
    return FakeRequest(chunks, **headers)


def make_reader(limit: int = 10 * len(LARGE), places: int = 1, wait: float = 0.01, timeout: float = 5) -> BodyReader:
    return BodyReader(limit, places, wait, timeout)


@pytest.mark.parametrize("chunks", [(b"abcde", b"fghij"), (b"", b"abcdefghij"), (b"abcdefghij", b"")])
async def test_a_body_at_the_limit_is_read(chunks: tuple[bytes, ...]) -> None:
    assert await read_body(make_request(*chunks, content_length="10"), 10) == b"abcdefghij"
    async with make_reader(limit=10).read(make_request(*chunks)) as body:
        assert body == b"abcdefghij"


@pytest.mark.parametrize(
    "request_", [make_request(b"abcdefghij", b"k"), make_request(None, content_length="11")], ids=["sent", "announced"]
)
async def test_a_body_over_the_limit_is_refused_before_it_is_whole(request_: Any) -> None:
    with pytest.raises(TooLarge):
        async with make_reader(limit=10).read(request_):
            pass


async def test_one_more_large_body_waits_for_a_place_and_is_refused_then() -> None:
    reader = make_reader(places=8)
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(reader.read(make_request(LARGE)))
        with pytest.raises(Unavailable) as refused:
            async with reader.read(make_request(LARGE)):
                pass
        assert refused.value.retry_after == 0.01
        async with reader.read(make_request(b"small")) as body:
            assert body == b"small"
    async with reader.read(make_request(LARGE)) as body:
        assert body == LARGE


async def test_one_more_large_body_is_read_as_soon_as_there_is_a_place() -> None:
    reader = make_reader(wait=30)
    async with reader.read(make_request(LARGE)):
        waiting = asyncio.create_task(_read(reader, make_request(LARGE, b"y")))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == LARGE + b"y"


async def test_a_slow_body_is_given_up_and_leaves_its_place() -> None:
    reader = make_reader(timeout=0.01)
    with pytest.raises(SlowBody):
        await _read(reader, make_request(LARGE, None))
    with pytest.raises(SlowBody):
        await _read(reader, make_request(b"small", None))
    assert await _read(reader, make_request(LARGE)) == LARGE


async def test_a_place_is_free_again_after_a_body_that_is_too_large() -> None:
    reader = make_reader(limit=len(LARGE))
    with pytest.raises(TooLarge):
        await _read(reader, make_request(LARGE, b"x"))
    assert await _read(reader, make_request(LARGE)) == LARGE


async def _read(reader: BodyReader, request: Any) -> bytes:
    async with reader.read(request) as body:
        return body
