"""The ASGI server: listens, authenticates, answers the platform's health routes and calls the application."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from ..api.auth import InstanceTokenAuth, get_request_id
from ..exception_log import describe_exception, log_exception
from ..http.framing import ProtocolError
from ..http.http1 import RequestHead
from ..http.response import DateHeader, Response
from ..http.server import BACKLOG, CHECK_INTERVAL_SECONDS, FLUSH_SECONDS
from ..http.websocket_frames import NORMAL
from ..problems import PROBLEM_TYPE, FunctionRaised, Problem, Unavailable
from . import scope
from .connection import AsgiConnection
from .lifespan import Lifespan
from .request_cycle import RequestCycle
from .websocket_session import WebSocketSession

POLL_SECONDS = 0.02


class AsgiServer:
    """One listening socket, on the loop's thread. Not ready until it has the application's lifespan."""

    def __init__(self, token: str | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.date_header = DateHeader()
        self.connections: set[AsgiConnection] = set()
        self.closing = False
        self.port = 0
        self.reason = "The application is being imported."
        self._auth = InstanceTokenAuth(token)
        self._lifespan: Lifespan | None = None
        self._listener: asyncio.AbstractServer | None = None
        self._check_timer: asyncio.TimerHandle | None = None
        self._active_requests = 0

    async def listen(self, host: str, port: int) -> int:
        self._listener = await self.loop.create_server(lambda: AsgiConnection(self), host, port, backlog=BACKLOG)
        self.port = int(self._listener.sockets[0].getsockname()[1])
        self._check_connections()
        return self.port

    def mark_ready(self, lifespan: Lifespan) -> None:
        self._lifespan = lifespan

    async def close(self, grace: float) -> None:
        """Accept nothing new, and give running requests `grace` seconds to end."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.start_close()
        await self._wait_for_requests(grace)
        for connection in list(self.connections):
            connection.start_close()
        await self._wait_for_connections()
        if self._check_timer is not None:
            self._check_timer.cancel()

    async def _wait_for_requests(self, grace: float) -> None:
        end = self.loop.time() + grace
        while self._active_requests and self.loop.time() < end:  # noqa: ASYNC110 - only while a component stops
            await asyncio.sleep(POLL_SECONDS)

    async def _wait_for_connections(self) -> None:
        end = self.loop.time() + FLUSH_SECONDS
        while self.connections and self.loop.time() < end:  # noqa: ASYNC110 - only while a component stops
            await asyncio.sleep(POLL_SECONDS)
        for connection in list(self.connections):
            connection.abort()

    def _check_connections(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check_timeouts(now)
        self._check_timer = self.loop.call_later(CHECK_INTERVAL_SECONDS, self._check_connections)

    # -- requests

    async def handle_request(self, head: RequestHead, cycle: RequestCycle, addresses: tuple[Any, Any]) -> None:
        """Run the application, or respond in its place."""
        self._active_requests += 1
        try:
            if (platform_response := self._platform_response(head)) is not None:
                status, document = platform_response
                await cycle.send_error(status, (), json.dumps(document).encode())
            else:
                await self._call_application("http", head, cycle, addresses)
                if not cycle.started:
                    raise Problem("The application returned without sending a response.")
        except Problem as problem:
            await cycle.send_error(
                problem.status, problem.build_headers(), _problem_body(problem, get_request_id(head.headers))
            )
        finally:
            self._active_requests -= 1

    async def handle_websocket(self, head: RequestHead, session: WebSocketSession, addresses: tuple[Any, Any]) -> None:
        self._active_requests += 1
        try:
            self._check_access(head)
            await self._call_application("websocket", head, session, addresses)
        except Problem as problem:
            session.reject_connection(self._problem_response(problem, get_request_id(head.headers)))
        finally:
            self._active_requests -= 1
        await session.send({"type": "websocket.close", "code": NORMAL})

    async def _call_application(
        self, scope_type: str, head: RequestHead, channel: RequestCycle | WebSocketSession, addresses: tuple[Any, Any]
    ) -> None:
        assert self._lifespan is not None  # noqa: S101 - checked by `_check_access`
        asgi_scope = scope.build_scope(scope_type, head, *addresses, self._lifespan.state, self._auth.required)
        try:
            await self._lifespan.app(asgi_scope, channel.receive, channel.send)
        except ConnectionError:
            raise
        except Exception as error:
            error_id = log_exception(error, get_request_id(head.headers))
            text = describe_exception(error) if self._auth.is_owner_call(head.headers) else None
            raise FunctionRaised(error_id, text, "application") from error

    def _platform_response(self, head: RequestHead) -> tuple[int, dict[str, Any]] | None:
        """The response to the platform's own health checks, which have no public prefix; None for other requests."""
        path = head.target.partition(b"?")[0]
        if scope.PREFIX not in head.headers and path in (b"/healthz", b"/readyz"):
            if path == b"/healthz":
                return 200, {"status": "ok"}
            if self._lifespan is not None and not self.closing:
                return 200, {"status": "ready"}
            return 503, {"status": "stopping" if self.closing else "starting", "reason": self.reason}
        self._check_access(head)
        return None

    def _check_access(self, head: RequestHead) -> None:
        self._auth.authenticate(head.headers)
        if self._lifespan is None or self.closing:
            raise Unavailable(self.reason if not self.closing else "The component is being stopped.")

    def protocol_error_response(self, error: ProtocolError) -> bytes:
        """The response to bytes that are not a valid request."""
        problem = Problem(error.detail)
        problem.status = error.status
        return self._problem_response(problem, uuid.uuid4().hex)

    def _problem_response(self, problem: Problem, request_id: str) -> bytes:
        body = _problem_body(problem, request_id)
        response = Response(problem.status, body, PROBLEM_TYPE, problem.build_headers())
        return response.build_head(self.date_header.render_line(), b"connection: close\r\n") + body


def _problem_body(problem: Problem, request_id: str) -> bytes:
    return json.dumps(problem.to_json(request_id)).encode()
