"""The request's side of one exchange: sent as the caller brings it, watched while the answer is awaited."""

from __future__ import annotations

import asyncio
import time

from libs.common.errors import MeshError, TimedOut
from services.gateway.proxy.connection_pool import head_of, host_header
from services.gateway.proxy.proxy_call import Call, Hop
from services.gateway.proxy.request import Body, Gone
from services.gateway.proxy.upstream_connection import Connection, Lost

STALLED_S = 60.0
"""How long a place may leave a request's bytes unread."""
PROMPT_S = 0.05
"""An answer that comes within this is not worth a task that watches whether the caller is still there."""


class Attendance:
    """Exchanges that are young: who is no longer young is told so, and watches its caller from then on."""

    def __init__(self) -> None:
        self._young: dict[Exchange, float] = {}
        self._looking = False

    def add(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self._young[exchange] = time.monotonic() + PROMPT_S
        if not self._looking:
            self._looking = True
            loop.call_later(PROMPT_S, self._look, loop)

    def remove(self, exchange: Exchange) -> None:
        self._young.pop(exchange, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for exchange in [one for one, until in self._young.items() if until <= now]:
            del self._young[exchange]
            exchange.watch()
        self._looking = bool(self._young)
        if self._looking:
            loop.call_later(PROMPT_S / 2, self._look, loop)


class Exchange:
    """Ends by itself, with an error for who awaits the answer, when that takes too long or nobody waits any more."""

    __slots__ = ("_answered", "_attendance", "_body", "_call", "_chunked", "_connection", "_loop", "_task", "_timer")

    def __init__(self, connection: Connection, call: Call, body: Body, attendance: Attendance) -> None:
        self._attendance = attendance
        self._connection = connection
        self._call = call
        self._body = body
        self._loop = connection.loop
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._answered = False

    def start(self, hop: Hop) -> None:
        """Send what is there; a body that is still to come is sent by a task."""
        body, call = self._body, self._call
        framing = body.framing()
        self._chunked = bool(framing) and framing[0][0] == b"transfer-encoding"
        headers = [(b"host", host_header(hop.address)), *call.headers, *hop.headers, *framing]
        head = head_of(call.method, call.target, headers)
        self._connection.write(head + _framed(body.so_far, self._chunked))
        if body.finished:
            if self._chunked:
                self._connection.write(b"0\r\n\r\n")
            self._attendance.add(self, self._loop)
        else:
            self._task = asyncio.create_task(self._send())

    def answered(self) -> None:
        """The answer has begun."""
        if not self._call.whole:
            self._answered = True
            self._cancel_timer()

    @property
    def alone(self) -> bool:
        """Nothing was begun that has to be ended: so with nearly all exchanges."""
        return self._task is None and self._timer is None and self._body.finished

    async def end(self) -> None:
        """Part of a request on it makes a connection useless for the next."""
        self._cancel_timer()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self._body.finished:
            self._connection.abort()

    def watch(self) -> None:
        self._set_deadline(self._call.answer_within - PROMPT_S)
        self._task = asyncio.create_task(self._until_gone())

    async def _send(self) -> None:
        """Send all, then watch whether the caller is still there."""
        body, connection = self._body, self._connection
        try:
            while not body.finished:
                async with asyncio.timeout(STALLED_S):
                    await connection.drain()
                connection.write(_framed(await body.read(), self._chunked))
            if self._chunked:
                connection.write(b"0\r\n\r\n")
            self._set_deadline(self._call.answer_within)
            await body.hung_up()
        except Gone:
            pass  # as after `hung_up`
        except MeshError as error:
            connection.fail(error)  # it is the caller's body that cannot be had
        except TimeoutError:
            connection.fail(TimedOut(f"{self._call.name} does not read what it is sent"))
        finally:
            connection.fail(Lost())  # whatever ends the sending ends an exchange that is not complete

    async def _until_gone(self) -> None:
        await self._body.hung_up()
        self._connection.fail(Lost())

    def _set_deadline(self, seconds: float) -> None:
        if not self._answered:
            self._timer = self._loop.call_later(max(0.0, seconds), self._late)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _late(self) -> None:
        within = self._call.answer_within
        self._connection.fail(TimedOut(f"{self._call.name} did not answer within {within:g} s"))


def _framed(piece: bytes, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and piece else piece
