"""Passes a request on and its answer back, streaming both ways; repeats it where nothing can have happened yet."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from libs.common.errors import MeshError, TimedOut, TooLarge, TooManyRequests, Unavailable
from services.gateway.answer import NOT_STARTED, Answer
from services.gateway.connection import Connection, Headers, Lost
from services.gateway.request import Body, Gone
from services.gateway.upstream import Address, CannotConnect, Pool, head_of, host_header

STALLED_S = 60.0
"""How long a place may leave a request's bytes unread."""


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a call can go."""

    address: Address
    headers: Headers
    """For this place only."""
    pick: Outcome | None = None


class Outcome(Protocol):
    """Hears how it went there."""

    def answered(self) -> None: ...

    def failed(self) -> None: ...


class Hops(Protocol):
    """The places to try, best first; the generator is closed when the call is over."""

    def __call__(self) -> Generator[Hop, None, None]: ...


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    method: str
    target: bytes
    headers: Headers
    hops: Hops
    nowhere: MeshError
    """Raised when no place took it."""
    answer_within: float
    """Seconds from the body's end to the answer's beginning."""
    whole: bool = False
    """The answer's end, too, must come within that time."""


class Proxy:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def forward(self, call: Call, body: Body, answer: Answer) -> None:
        """Raises what kept it from an answer; Gone when the caller hung up."""
        first = await body.begin()
        refused: MeshError | None = None
        with closing(call.hops()) as hops:
            for hop in hops:
                try:
                    await self._at(call, hop, _Sending(body, first), answer)
                except CannotConnect:
                    _failed(hop)
                except NotStarted as error:
                    if error.said == Unavailable.status:
                        _failed(hop)
                    refused = error.refusal(call.name)
                except Lost:
                    _failed(hop)
                    raise
                else:
                    if hop.pick is not None:
                        hop.pick.answered()
                    return
        raise refused or call.nowhere

    async def _at(self, call: Call, hop: Hop, sending: _Sending, answer: Answer) -> None:
        """A connection that went stale while it was idle is replaced once."""
        connection = await self._pool.take(hop.address)
        try:
            await self._over(connection, call, hop, sending, answer)
        except Lost:
            if connection.fresh or connection.status or not sending.repeatable:
                raise
        else:
            return
        await self._over(await self._pool.take(hop.address, fresh=True), call, hop, sending, answer)

    async def _over(self, c: Connection, call: Call, hop: Hop, sending: _Sending, answer: Answer) -> None:
        c.begin(without_body=call.method == "HEAD")
        deadline = _Deadline(c, call)
        feeding = asyncio.create_task(sending.run(c, call, hop, deadline))
        try:
            await c.head()
            if c.status in (429, 503) and sending.repeatable and any(name == NOT_STARTED for name, _ in c.headers):
                raise NotStarted(c.status)
            deadline.answered()
            await answer.pass_on(c)
        except Lost as error:
            if sending.gone:
                raise Gone from error
            raise
        finally:
            deadline.cancel()
            feeding.cancel()
            await asyncio.wait([feeding])
            sending.close(c)
            self._pool.give(hop.address, c)


def _failed(hop: Hop) -> None:
    if hop.pick is not None:
        hop.pick.failed()


class NotStarted(Lost):
    """The component has refused this call before it began with it."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.said = status

    def refusal(self, name: str) -> MeshError:
        """What the caller is told when nobody else takes it."""
        if self.said == TooManyRequests.status:
            return TooManyRequests(f"{name} has too many calls waiting", retry_after=1.0)
        return Unavailable(f"{name} does not take calls at the moment")


class _Deadline:
    """Ends an exchange that takes too long. Starts when the request has been sent."""

    def __init__(self, connection: Connection, call: Call) -> None:
        self._connection = connection
        self._call = call
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False

    def start(self) -> None:
        if not self._answered:
            self._timer = asyncio.get_running_loop().call_later(self._call.answer_within, self._over)

    def answered(self) -> None:
        if not self._call.whole:
            self._answered = True
            self.cancel()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _over(self) -> None:
        self._connection.fail(TimedOut(f"{self._call.name} did not answer within {self._call.answer_within:g} s"))


class _Sending:
    """The request's side of an exchange."""

    def __init__(self, body: Body, first: bytes) -> None:
        self._body = body
        self._first = first

    @property
    def repeatable(self) -> bool:
        return self._body.kept is not None and not self._body.gone

    @property
    def gone(self) -> bool:
        return self._body.gone

    async def run(self, connection: Connection, call: Call, hop: Hop, deadline: _Deadline) -> None:
        """Send all, then watch whether the caller is still there."""
        body = self._body
        framing = body.framing()
        chunked = bool(framing) and framing[0][0] == b"transfer-encoding"
        start = body.kept if body.kept is not None else self._first
        headers = [(b"host", host_header(hop.address)), *call.headers, *hop.headers, *framing]
        connection.write(head_of(call.method, call.target, headers) + _framed(start, chunked))
        try:
            while not body.finished:
                async with asyncio.timeout(STALLED_S):
                    await connection.drain()
                connection.write(_framed(await body.read(), chunked))
            if chunked:
                connection.write(b"0\r\n\r\n")
            deadline.start()
            await body.hung_up()
        except Gone:
            pass  # as after `hung_up`
        except TooLarge as error:
            connection.fail(error)
        except TimeoutError:
            connection.fail(TimedOut(f"{call.name} does not read what it is sent"))
        finally:
            connection.fail(Lost())  # whatever ends the sending ends an exchange that is not complete

    def close(self, connection: Connection) -> None:
        """Part of a request on it makes a connection useless for the next."""
        if not self._body.finished:
            connection.abort()


def _framed(piece: bytes, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and piece else piece
