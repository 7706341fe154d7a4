"""An upload that is rejected early, from a client that sends the whole body before it reads the response."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

import pytest

from tests.databox.conftest import TOKEN, Databox

BLOCK = b"x" * 65536


def put_blocks(url: str, path: str, blocks: int, *, chunked: bool, close: bool) -> tuple[int, bytes]:
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30.0)
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({} if chunked else {"Content-Length": str(blocks * len(BLOCK))})
    headers |= {"Connection": "close"} if close else {}
    try:
        connection.request("PUT", path, (BLOCK for _ in range(blocks)), headers, encode_chunked=chunked)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("blocks", [1, 100, 800])
async def test_client_that_sends_the_whole_body_first_reads_the_rejection(
    databox: Databox, blocks: int, chunked: bool, close: bool
) -> None:
    path = "/internal/apps/shop/users/alice/files/data/g/f"
    if chunked:
        path += "?upload=1"
    status, content = await asyncio.to_thread(put_blocks, databox.url, path, blocks, chunked=chunked, close=close)
    assert (status, b"box data is full" in content) == (413, True)
