"""The request handler of a web application: authenticates, answers the health routes and calls the application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from ..api.auth import InstanceTokenAuth, get_request_id
from ..api.codecs import problem_response, protocol_error_response
from ..exception_log import describe_exception, log_exception
from ..http.connection import Connection
from ..http.exchange import Exchange
from ..http.framing import ProtocolError, Request, offers_websocket
from ..http.response import Response
from ..http.websocket_frames import NORMAL
from ..problems import FunctionRaised, Problem, Unavailable
from . import scope
from .exchange import ApplicationExchange
from .lifespan import Lifespan
from .request_cycle import RequestCycle
from .websocket_session import WebSocketSession


class Application:
    """Not ready until it has the application's lifespan."""

    def __init__(self, token: str | None) -> None:
        self.reason = "The application is being imported."
        self._loop = asyncio.get_running_loop()
        self._auth = InstanceTokenAuth(token)
        self._lifespan: Lifespan | None = None
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    def mark_ready(self, lifespan: Lifespan) -> None:
        self._lifespan = lifespan

    def stop(self) -> None:
        """Refuse new requests from now on."""
        self._stopping = True

    async def drain(self, grace: float) -> None:
        """Give running requests `grace` seconds to end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    # -- requests

    def create_exchange(self, request: Request, connection: Connection) -> Exchange:
        if offers_websocket(request.method, request.headers):
            session = WebSocketSession(request, connection)
            self._start_task(session, self._run_websocket(session))
            return session
        cycle = RequestCycle(request, connection)
        self._start_task(cycle, self._run_request(cycle))
        return cycle

    def handle_protocol_error(self, error: ProtocolError) -> Response:
        return protocol_error_response(error)

    def _start_task(self, exchange: ApplicationExchange, work: Coroutine[Any, Any, None]) -> None:
        exchange.task = task = self._loop.create_task(work)
        self._tasks.add(task)

    async def _run_request(self, cycle: RequestCycle) -> None:
        """Run the application, or respond in its place."""
        request = cycle.request
        try:
            if (platform_response := self._platform_response(request)) is not None:
                status, document = platform_response
                await cycle.send_error(status, (), json.dumps(document).encode())
            else:
                await self._call_application("http", cycle)
                if not cycle.response_started:
                    raise Problem("The application returned without sending a response.")
        except Problem as problem:
            response = problem_response(problem, get_request_id(request.headers))
            await cycle.send_error(problem.status, response.headers, response.body)
        except ConnectionError:
            pass  # the caller has disconnected
        finally:
            self._tasks.discard(cycle.task)
            cycle.finish()

    async def _run_websocket(self, session: WebSocketSession) -> None:
        try:
            self._check_access(session.request)
            await self._call_application("websocket", session)
        except Problem as problem:
            session.reject_connection(problem_response(problem, get_request_id(session.request.headers)))
        finally:
            self._tasks.discard(session.task)
        await session.send({"type": "websocket.close", "code": NORMAL})

    async def _call_application(self, scope_type: str, exchange: RequestCycle | WebSocketSession) -> None:
        assert self._lifespan is not None  # noqa: S101 - checked by `_check_access`
        request, addresses = exchange.request, exchange.connection.get_addresses()
        asgi_scope = scope.build_scope(scope_type, request, *addresses, self._lifespan.state, self._auth.required)
        try:
            await self._lifespan.app(asgi_scope, exchange.receive, exchange.send)
        except ConnectionError:
            raise
        except Exception as error:
            error_id = log_exception(error, get_request_id(request.headers))
            text = describe_exception(error) if self._auth.is_owner_call(request.headers) else None
            raise FunctionRaised(error_id, text, "application") from error

    def _platform_response(self, request: Request) -> tuple[int, dict[str, Any]] | None:
        """The response to the platform's own health checks, which have no public prefix; None for other requests."""
        path = request.target.partition(b"?")[0]
        if scope.PREFIX not in request.headers and path in (b"/healthz", b"/readyz"):
            if path == b"/healthz":
                return 200, {"status": "ok"}
            if self._lifespan is not None and not self._stopping:
                return 200, {"status": "ready"}
            return 503, {"status": "stopping" if self._stopping else "starting", "reason": self.reason}
        self._check_access(request)
        return None

    def _check_access(self, request: Request) -> None:
        self._auth.authenticate(request.headers)
        if self._lifespan is None or self._stopping:
            raise Unavailable("The component is being stopped." if self._stopping else self.reason)
