"""Passes a request on and its answer back, streaming both ways; repeats it where nothing can have happened yet."""

from __future__ import annotations

import time

from libs.common.errors import MeshError, TooManyRequests, Unavailable
from services.gateway.answer import NOT_STARTED, Answer
from services.gateway.call import Call, Hop
from services.gateway.connection import SWITCHING, Connection, Lost
from services.gateway.exchange import Attendance, Exchange
from services.gateway.request import Body, Gone
from services.gateway.tunnel import join
from services.gateway.upstream import CannotConnect, Pool


class Proxy:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._attendance = Attendance()

    async def forward(self, call: Call, body: Body, answer: Answer) -> None:
        """Raises what kept it from an answer; Gone when the caller hung up."""
        hops, refused = call.hops, None
        try:
            await body.begin()
            while (hop := hops.next()) is not None:
                try:
                    await self._at(call, hop, body, answer)
                except CannotConnect:
                    hops.failed()
                except NotStarted as error:
                    if error.said == Unavailable.status:
                        hops.failed()
                    refused = error.refusal(call.name)
                except Lost:
                    hops.failed()
                    raise
                else:
                    hops.answered()
                    return
        finally:
            hops.close()
        raise refused or call.nowhere()

    async def _at(self, call: Call, hop: Hop, body: Body, answer: Answer) -> None:
        """A connection that went stale while it was idle is replaced once."""
        connection = await self._pool.take(hop.address)
        try:
            await self._over(connection, call, hop, body, answer)
        except Lost:
            if connection.fresh or connection.status or not body.repeatable:
                raise
        else:
            return
        await self._over(await self._pool.take(hop.address, fresh=True), call, hop, body, answer)

    async def _over(self, c: Connection, call: Call, hop: Hop, body: Body, answer: Answer) -> None:
        c.begin(without_body=call.method == "HEAD")
        exchange = Exchange(c, call, body, self._attendance)
        began = time.perf_counter()
        exchange.start(hop)
        try:
            await c.head()
            if c.status in (429, 503) and body.repeatable and any(name == NOT_STARTED for name, _ in c.headers):
                raise NotStarted(c.status)
            exchange.answered()
            answer.took(b"upstream", time.perf_counter() - began)
            if c.status == SWITCHING:
                self._attendance.remove(exchange)
                await exchange.end()
                await self._tunnel(c, call, answer)
            else:
                await answer.pass_on(c)
        except Lost as error:
            if body.gone:
                raise Gone from error
            raise
        finally:
            self._attendance.remove(exchange)
            if not exchange.alone:
                await exchange.end()
            self._pool.give(hop.address, c)

    async def _tunnel(self, c: Connection, call: Call, answer: Answer) -> None:
        if call.tunnel is None:
            raise Lost(f"{call.name} switches to a protocol that nobody asked for")
        await join(call.tunnel, c, answer.switching(c))


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
