"""The listening socket of an application: who may ask, what the platform asks itself, and the application's turns."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from ..api.auth import Door, request_id_of
from ..exception_log import describe, logged
from ..http.framing import ProtocolError
from ..http.http1 import Head
from ..http.response import Clock, Response
from ..http.server import BACKLOG, FLUSH_SECONDS, SWEEP_SECONDS
from ..http.websocket_frames import NORMAL
from ..problems import PROBLEM_TYPE, FunctionRaised, Problem, Unavailable
from . import scope
from .connection import Connection
from .lifespan import Lifespan
from .request_cycle import Cycle
from .websocket_session import Session

POLL_SECONDS = 0.02


class Server:
    """One listening socket. Belongs to the loop's thread. It has no lifespan until the application is there."""

    def __init__(self, token: str | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = Clock()
        self.connections: set[Connection] = set()
        self.closing = False
        self.port = 0
        self.reason = "The application is being imported."
        self._door = Door(token)
        self._lifespan: Lifespan | None = None
        self._listener: asyncio.AbstractServer | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._busy = 0

    async def listen(self, host: str, port: int) -> int:
        self._listener = await self.loop.create_server(lambda: Connection(self), host, port, backlog=BACKLOG)
        self.port = int(self._listener.sockets[0].getsockname()[1])
        self._sweep()
        return self.port

    def open(self, lifespan: Lifespan) -> None:
        self._lifespan = lifespan

    async def close(self, grace: float) -> None:
        """Nothing new; what is being answered may end within `grace` seconds."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.go_away()
        await self._until_quiet(grace)
        for connection in list(self.connections):
            connection.go_away()
        await self._until_gone()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _until_quiet(self, grace: float) -> None:
        end = self.loop.time() + grace
        while self._busy and self.loop.time() < end:  # noqa: ASYNC110 - only while a component stops
            await asyncio.sleep(POLL_SECONDS)

    async def _until_gone(self) -> None:
        end = self.loop.time() + FLUSH_SECONDS
        while self.connections and self.loop.time() < end:  # noqa: ASYNC110 - only while a component stops
            await asyncio.sleep(POLL_SECONDS)
        for connection in list(self.connections):
            connection.abort()

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check_time(now)
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    # -- requests

    async def handle(self, head: Head, cycle: Cycle, addresses: tuple[Any, Any]) -> None:
        """The application's answer, or one in its place."""
        self._busy += 1
        try:
            if (own := self._own(head)) is not None:
                status, document = own
                await cycle.refuse(status, (), json.dumps(document).encode())
            else:
                await self._perform("http", head, cycle, addresses)
                if not cycle.began:
                    raise Problem("The application returned without an answer.")
        except Problem as problem:
            await cycle.refuse(problem.status, problem.headers(), _body(problem, request_id_of(head.headers)))
        finally:
            self._busy -= 1

    async def converse(self, head: Head, session: Session, addresses: tuple[Any, Any]) -> None:
        self._busy += 1
        try:
            self._check(head)
            await self._perform("websocket", head, session, addresses)
        except Problem as problem:
            session.refuse(self._response(problem, request_id_of(head.headers)))
        finally:
            self._busy -= 1
        await session.send({"type": "websocket.close", "code": NORMAL})

    async def _perform(self, kind: str, head: Head, turn: Cycle | Session, addresses: tuple[Any, Any]) -> None:
        assert self._lifespan is not None  # noqa: S101 - `_check` looked
        asked = scope.of(kind, head, *addresses, self._lifespan.state, self._door.guarded)
        try:
            await self._lifespan.app(asked, turn.receive, turn.send)
        except ConnectionError:
            raise
        except Exception as error:
            error_id = logged(error, request_id_of(head.headers))
            text = describe(error) if self._door.is_owners(head.headers) else None
            raise FunctionRaised(error_id, text, "application") from error

    def _own(self, head: Head) -> tuple[int, dict[str, Any]] | None:
        """The answer to what the platform itself asks: it comes without the prefix of callers."""
        path = head.target.partition(b"?")[0]
        if scope.PREFIX not in head.headers and path in (b"/healthz", b"/readyz"):
            if path == b"/healthz":
                return 200, {"status": "ok"}
            if self._lifespan is not None and not self.closing:
                return 200, {"status": "ready"}
            return 503, {"status": "stopping" if self.closing else "starting", "reason": self.reason}
        self._check(head)
        return None

    def _check(self, head: Head) -> None:
        self._door.check(head.headers)
        if self._lifespan is None or self.closing:
            raise Unavailable(self.reason if not self.closing else "The component is being stopped.")

    def refusal(self, error: ProtocolError) -> bytes:
        """What is not a request."""
        problem = Problem(error.detail)
        problem.status = error.status
        return self._response(problem, uuid.uuid4().hex)

    def _response(self, problem: Problem, request_id: str) -> bytes:
        body = _body(problem, request_id)
        response = Response(problem.status, body, PROBLEM_TYPE, problem.headers())
        return response.head(self.clock.date(), b"connection: close\r\n") + body


def _body(problem: Problem, request_id: str) -> bytes:
    return json.dumps(problem.document(request_id)).encode()
