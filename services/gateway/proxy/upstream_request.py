"""Sends a request to an upstream as it arrives, enforces the timeout, and watches for a disconnect of the client."""

from __future__ import annotations

import asyncio
import time

from libs.common.errors import MeshError, TimedOut
from services.gateway.proxy.body import Body, ClientDisconnected
from services.gateway.proxy.connection_pool import encode_head, encode_host
from services.gateway.proxy.proxy_call import ProxyCall, Upstream
from services.gateway.proxy.upstream_connection import UpstreamClosed, UpstreamConnection

SEND_STALL_S = 60.0
"""How long an upstream may stop reading the request."""
WATCH_AFTER_S = 0.05
"""Only requests older than this get a task that watches for a disconnect: most are over sooner."""


class DisconnectWatcher:
    """Starts watching for a client disconnect in requests older than 50 ms, with one timer for all."""

    def __init__(self) -> None:
        self._pending: dict[UpstreamRequest, float] = {}
        self._is_scheduled = False

    def add(self, request: UpstreamRequest, loop: asyncio.AbstractEventLoop) -> None:
        self._pending[request] = time.monotonic() + WATCH_AFTER_S
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_later(WATCH_AFTER_S, self._start_due, loop)

    def remove(self, request: UpstreamRequest) -> None:
        self._pending.pop(request, None)

    def _start_due(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for request in [candidate for candidate, due in self._pending.items() if due <= now]:
            del self._pending[request]
            request.start_watching()
        self._is_scheduled = bool(self._pending)
        if self._is_scheduled:
            loop.call_later(WATCH_AFTER_S / 2, self._start_due, loop)


class UpstreamRequest:
    """One request; fails its connection on timeout, and when the client disconnects or its body fails."""

    __slots__ = (
        "_body",
        "_call",
        "_chunked",
        "_connection",
        "_disconnect_watcher",
        "_loop",
        "_response_started",
        "_task",
        "_timer",
    )

    def __init__(
        self, connection: UpstreamConnection, call: ProxyCall, body: Body, disconnect_watcher: DisconnectWatcher
    ) -> None:
        self._disconnect_watcher = disconnect_watcher
        self._connection = connection
        self._call = call
        self._body = body
        self._loop = connection.loop
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._response_started = False

    def start(self, upstream: Upstream) -> None:
        """Send the head and the buffered body; a task sends a body that has not been received yet."""
        body, call = self._body, self._call
        framing = body.build_framing_headers()
        self._chunked = bool(framing) and framing[0][0] == b"transfer-encoding"
        headers = [(b"host", encode_host(upstream.address)), *call.headers, *upstream.headers, *framing]
        head = encode_head(call.method, call.target, headers)
        self._connection.write(head + _encode_chunk(body.buffered, self._chunked))
        if body.finished:
            if self._chunked:
                self._connection.write(b"0\r\n\r\n")
            self._disconnect_watcher.add(self, self._loop)
        else:
            self._task = asyncio.create_task(self._send_body())

    def mark_response_started(self) -> None:
        """The response has started: only bounded responses keep the timeout."""
        if not self._call.bounded_response:
            self._response_started = True
            self._cancel_timer()

    @property
    def needs_no_cleanup(self) -> bool:
        """No task, timer or unsent body: `finish` can be skipped. The common case."""
        return self._task is None and self._timer is None and self._body.finished

    async def finish(self) -> None:
        """Stop task and timer; a connection with half a request on it is aborted."""
        self._cancel_timer()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self._body.finished:
            self._connection.abort()

    def start_watching(self) -> None:
        self._set_deadline(self._call.response_timeout - WATCH_AFTER_S)
        self._task = asyncio.create_task(self._watch_client())

    async def _send_body(self) -> None:
        """Send the body, then watch for a disconnect."""
        body, connection = self._body, self._connection
        try:
            while not body.finished:
                async with asyncio.timeout(SEND_STALL_S):
                    await connection.drain()
                connection.write(_encode_chunk(await body.read(), self._chunked))
            if self._chunked:
                connection.write(b"0\r\n\r\n")
            self._set_deadline(self._call.response_timeout)
            await body.wait_for_disconnect()
        except ClientDisconnected:
            pass  # as after `wait_for_disconnect`
        except MeshError as error:
            connection.fail(error)  # the client's body failed, not the upstream
        except TimeoutError:
            connection.fail(TimedOut(f"{self._call.name} stopped reading the request body"))
        finally:
            connection.fail(UpstreamClosed())  # has no effect when the exchange is complete

    async def _watch_client(self) -> None:
        await self._body.wait_for_disconnect()
        self._connection.fail(UpstreamClosed())

    def _set_deadline(self, seconds: float) -> None:
        if not self._response_started:
            self._timer = self._loop.call_later(max(0.0, seconds), self._on_timeout)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _on_timeout(self) -> None:
        timeout = self._call.response_timeout
        self._connection.fail(TimedOut(f"{self._call.name} did not respond within {timeout:g} s"))


def _encode_chunk(piece: bytes, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and piece else piece
