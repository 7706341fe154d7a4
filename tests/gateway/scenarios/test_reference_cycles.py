"""Calls create no reference cycles: pauses of the garbage collector would delay other calls."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import pytest
from mlmesh_component.function_component import FunctionComponent
from mlmesh_component.http import llhttp
from mlmesh_component.settings import Settings as ComponentSettings
from yarl import URL

from tests.gateway.mesh import ALICE, Mesh, app_document, publish_app

CALLS = 50
BODY = b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.5]}]}'


async def count_cycles(address: URL, path: str, *headers: str) -> Counter[str]:
    """Objects in reference cycles after the calls of one connection, by type."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(BODY)}", *headers, "", ""]
    request = "\r\n".join(lines).encode() + BODY
    reader, writer = await asyncio.open_connection(address.host, address.port)

    async def call() -> None:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200")
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))

    await call()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(CALLS):
            await call()
        gc.collect()
        return Counter(type(item).__name__ for item in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        writer.close()


@pytest.mark.parametrize("function", ["add", "echo_async"])
async def test_calls_leave_no_circles(mesh: Mesh, function: str) -> None:
    settings = ComponentSettings(f"tests.component.functions:{function}", host="127.0.0.1", port=0, token="token")
    component = FunctionComponent(settings, llhttp.select_parser())
    port = await component.listen()
    await component.load()
    try:
        app = app_document(port)
        app["components"]["classifier"]["endpoints"][0]["token"] = "token"
        await publish_app(mesh, app)
        cycles = await count_cycles(URL(mesh.url), "/demo/digits/predict", f"Authorization: {ALICE['Authorization']}")
    finally:
        await component.close()
    assert {name: count for name, count in cycles.items() if count >= CALLS} == {}
