"""What libs/common/http relies on inside uvicorn. When this fails after an upgrade, read docs/internals/http.md."""

from __future__ import annotations

import asyncio
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from libs.common.http.server import _Server, _ServerState
from libs.common.http.uvicorn.protocol import HttpProtocol
from libs.common.http.uvicorn.request_cycle import RequestResponseCycle

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
REPLACED = {
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "eof_received": ["self"],
    "on_message_begin": ["self"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "on_response_complete": ["self"],
    "send_400_response": ["self", "msg"],
}
"""Methods of uvicorn's protocol that ours overrides, with their parameters."""
INHERITED = {
    "on_url": ["self", "url"],
    "on_header": ["self", "name", "value"],
    "shutdown": ["self"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
}
"""Methods of uvicorn's protocol that ours uses as they are."""
ATTRIBUTES = {
    "app", "app_state", "client", "connections", "cycle", "expect_100_continue", "flow", "headers", "loop", "parser",
    "pipeline", "scheme", "scope", "server", "server_state", "tasks", "timeout_keep_alive", "transport",
}  # fmt: skip
"""What ours finds on a connection of uvicorn's."""
SERVER = {
    "serve": ["self", "sockets"],
    "startup": ["self", "sockets"],
    "main_loop": ["self"],
    "capture_signals": ["self"],
    "shutdown": ["self", "sockets"],
}


class Transport(asyncio.Transport):
    closed = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


async def new_connection() -> HttpToolsProtocol:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        """Is not called."""

    connection = HttpToolsProtocol(uvicorn.Config(app, log_config=None), ServerState(), {})
    connection.connection_made(Transport())
    return connection


def test_uvicorn_is_pinned_below_the_next_minor() -> None:
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    (requirement,) = [text for text in dependencies if text.startswith("uvicorn")]
    major, minor = version("uvicorn").split(".")[:2]
    assert requirement.endswith(f",<{major}.{int(minor) + 1}")


@pytest.mark.parametrize(("name", "expected"), [*REPLACED.items(), *INHERITED.items()])
def test_the_methods_of_the_protocol_exist(name: str, expected: list[str]) -> None:
    assert parameters(getattr(HttpToolsProtocol, name)) == expected


def test_the_lists_above_are_complete() -> None:
    replaced = {name for name in vars(HttpProtocol) if name in dir(HttpToolsProtocol) and not name.startswith("__")}
    assert replaced == REPLACED.keys()


def test_a_protocol_is_made_by_the_server() -> None:
    assert parameters(HttpToolsProtocol) == ["config", "server_state", "app_state", "_loop"]


async def test_a_connection_has_these_attributes() -> None:
    connection = await new_connection()
    assert vars(connection).keys() >= ATTRIBUTES
    assert not connection.cycle
    assert len(connection.pipeline) == 0
    assert connection in connection.server_state.connections


async def test_headers_are_collected_in_lower_case() -> None:
    connection = await new_connection()
    connection.on_message_begin()
    for part in (b"/a", b"b"):
        connection.on_url(part)
    connection.on_header(b"Expect", b"100-Continue")
    assert connection.url == b"/ab"
    assert connection.headers == [(b"expect", b"100-Continue")]
    assert connection.expect_100_continue


@pytest.mark.parametrize("complete", [False, True])
async def test_what_uvicorn_does_with_a_cycle(complete: bool) -> None:
    """It sets `keep_alive` when it stops, and `disconnected` and `message_event` when the connection is lost."""
    connection: Any = await new_connection()
    cycle: Any = RequestResponseCycle(
        {"method": "GET"}, connection.transport, connection.flow, connection.loop, [], lambda: None,
        expects_continue=False, keep_alive=True,
    )  # fmt: skip
    cycle.response_complete = complete
    connection.cycle = cycle
    connection.shutdown()
    assert (connection.transport.closed, cycle.keep_alive) == (complete, complete)
    waiting = asyncio.create_task(cycle.receive())
    await asyncio.sleep(0)
    connection.connection_lost(None)
    assert cycle.disconnected is not complete
    assert await waiting == {"type": "http.disconnect"}


async def test_flow_control() -> None:
    assert isinstance(HIGH_WATER_LIMIT, int)
    flow = FlowControl(Transport())
    assert (flow.read_paused, flow.write_paused) == (False, False)
    flow.pause_writing()
    assert flow.write_paused
    draining = asyncio.create_task(flow.drain())
    flow.resume_writing()
    await draining


def test_status_lines() -> None:
    assert STATUS_LINE[404] == b"HTTP/1.1 404 Not Found\r\n"


@pytest.mark.parametrize(("name", "expected"), SERVER.items())
def test_the_methods_of_the_server_exist(name: str, expected: list[str]) -> None:
    assert parameters(getattr(uvicorn.Server, name)) == expected
    assert parameters(getattr(_Server, name)) == expected


async def test_the_state_of_the_server() -> None:
    assert vars(ServerState()).keys() == {"total_requests", "connections", "tasks", "default_headers"}
    state = _ServerState()
    state.default_headers = []
    assert [name for name, _ in state.default_headers] == [b"date"]
    server = _Server(lambda: None)
    assert (server.started, server.should_exit) == (False, False)
    server.config.load()
    assert server.config.loaded_app is not None
