"""Passes a request on and its answer back, streaming both ways; repeats it where nothing can have happened yet."""

from __future__ import annotations

import asyncio
import time

import orjson

from libs.common import log
from libs.common.errors import MeshError, TooManyRequests, Unavailable
from services.gateway.proxy.connection_pool import CannotConnect, Pool
from services.gateway.proxy.proxy_call import Call, Hop
from services.gateway.proxy.request import Body, Gone
from services.gateway.proxy.response_writer import NOT_STARTED, Answer
from services.gateway.proxy.tunnel import join
from services.gateway.proxy.upstream_connection import SWITCHING, Connection, Lost
from services.gateway.proxy.upstream_request import Attendance, Exchange

DETAIL_WITHIN_S = 1.0
MAX_REFUSAL = 16 * 1024
"""Bytes of a refusal that are read for what it says."""
MAX_DETAIL = 500
"""Characters of it that are passed on."""


class Proxy:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._attendance = Attendance()
        self._log = log.get("gateway")

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
                    if error.status_said == Unavailable.status:
                        hops.failed()
                        self._log.warning("a component refuses calls", component=call.name, why=error.said)
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
                raise NotStarted(c.status, await _detail(c))
            exchange.answered()
            answer.took(b"upstream", time.perf_counter() - began)
            if c.status == SWITCHING:
                self._attendance.remove(exchange)
                await exchange.end()
                await self._tunnel(c, call, answer)
            else:
                await answer.pass_on(c, ours=call.ours)
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

    def __init__(self, status: int, said: str) -> None:
        super().__init__()
        self.status_said = status
        self.said = said

    def refusal(self, name: str) -> MeshError:
        """What the caller is told when nobody else takes it."""
        if self.status_said == TooManyRequests.status:
            return TooManyRequests(f"{name} has too many calls waiting", retry_after=1.0)
        why = f": {self.said}" if self.said else ""
        return Unavailable(f"{name} does not take calls at the moment{why}")


async def _detail(refusal: Connection) -> str:
    """Why, in the component's own words; empty when it says nothing, or not in time."""
    content = b""
    try:
        async with asyncio.timeout(DETAIL_WITHIN_S):
            while len(content) <= MAX_REFUSAL and (piece := await refusal.chunk()):
                content += piece
        document = orjson.loads(content)
    except (TimeoutError, MeshError, orjson.JSONDecodeError):
        return ""
    said = document.get("detail") if isinstance(document, dict) else None
    return said[:MAX_DETAIL] if isinstance(said, str) else ""
