"""A component on the test's event loop, and a client that returns status, headers and body."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mlmesh_component.function_component import FunctionComponent
from mlmesh_component.http.framing import Limits
from mlmesh_component.http.http1 import Http1Parser
from mlmesh_component.settings import Settings

FUNCTIONS = "tests.component.functions:"
PATIENCE_SECONDS = 15.0
CALLERS = 16


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    component: FunctionComponent
    port: int
    callers: ThreadPoolExecutor

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.callers, ask, self.port, method, path, body, named)

    async def predict(self, *inputs: dict[str, Any], **members: Any) -> Answer:
        return await self.ask("POST", "/predict", json.dumps({"inputs": list(inputs), **members}).encode())

    async def raw(self, *sent: bytes, end: bool = False) -> bytes:
        """Send bytes, and return everything that is received until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for data in sent:
                writer.write(data)
                await writer.drain()
            if end:
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        finally:
            writer.close()


def ask(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


@asynccontextmanager
async def serving(
    function: str, parser: Callable[[Limits], Any] = Http1Parser, **settings: Any
) -> AsyncIterator[Served]:
    inference = function if ":" in function else FUNCTIONS + function
    component = FunctionComponent(Settings(inference, host="127.0.0.1", port=0, **settings), parser)
    port = await component.listen()
    with ThreadPoolExecutor(CALLERS) as callers:
        try:
            await component.load()
            yield Served(component, port, callers)
        finally:
            await component.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread or process fulfils; fails after a timeout."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is awaited is not on this loop
            await asyncio.sleep(0.005)


def text(name: str, data: str) -> dict[str, Any]:
    return {"name": name, "datatype": "str", "data": data}


def numbers(name: str, *data: float, datatype: str = "FP64", **members: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "data": list(data), **members}
