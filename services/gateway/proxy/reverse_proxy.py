"""The reverse proxy: streams request and response, and retries where the upstream cannot have started the call."""

from __future__ import annotations

import asyncio
import time

import orjson

from libs.common import log
from libs.common.errors import MeshError, TooManyRequests, Unavailable
from services.gateway.proxy.body import Body, ClientDisconnected
from services.gateway.proxy.connection_pool import ConnectFailed, ConnectionPool
from services.gateway.proxy.proxy_call import ProxyCall, Upstream
from services.gateway.proxy.response_writer import NOT_STARTED_HEADER, ResponseWriter
from services.gateway.proxy.tunnel import run_tunnel
from services.gateway.proxy.upstream_connection import SWITCHING_PROTOCOLS, UpstreamClosed, UpstreamConnection
from services.gateway.proxy.upstream_request import DisconnectWatcher, UpstreamRequest

DETAIL_TIMEOUT_S = 1.0
MAX_REJECTION_BODY = 16 * 1024
"""Bytes of a rejection that are read for its detail."""
MAX_DETAIL = 500
"""Characters of the detail that the client gets."""


class ReverseProxy:
    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._disconnect_watcher = DisconnectWatcher()
        self._log = log.get("gateway")

    async def forward(self, call: ProxyCall, body: Body, response: ResponseWriter) -> None:
        """Forward to the first candidate that accepts the call. Raises its error, or ClientDisconnected."""
        candidates, rejection = call.candidates, None
        try:
            await body.prefetch()
            while (upstream := candidates.pick_next()) is not None:
                try:
                    await self._send_to(call, upstream, body, response)
                except ConnectFailed:
                    candidates.record_failure()
                except RejectedByInstance as error:
                    if error.upstream_status == Unavailable.status:
                        candidates.record_failure()
                        self._log.warning("Instance rejected a call", component=call.name, reason=error.reason)
                    rejection = error.to_client_error(call.name)
                except UpstreamClosed:
                    candidates.record_failure()
                    raise
                else:
                    candidates.record_success()
                    return
        finally:
            candidates.close()
        raise rejection or call.no_upstream_error()

    async def _send_to(self, call: ProxyCall, upstream: Upstream, body: Body, response: ResponseWriter) -> None:
        """Retry once on a new connection when an idle one turns out to be closed."""
        conn = await self._pool.acquire(upstream.address)
        try:
            await self._send_on(conn, call, upstream, body, response)
        except UpstreamClosed:
            if conn.is_new or conn.status or not body.is_replayable:
                raise
        else:
            return
        await self._send_on(await self._pool.acquire(upstream.address, new=True), call, upstream, body, response)

    async def _send_on(
        self, conn: UpstreamConnection, call: ProxyCall, upstream: Upstream, body: Body, response: ResponseWriter
    ) -> None:
        conn.start_exchange(without_body=call.method == "HEAD")
        request = UpstreamRequest(conn, call, body, self._disconnect_watcher)
        started = time.perf_counter()
        request.start(upstream)
        try:
            await conn.read_head()
            if (
                conn.status in (429, 503)
                and body.is_replayable
                and any(name == NOT_STARTED_HEADER for name, _ in conn.headers)
            ):
                raise RejectedByInstance(conn.status, await _read_detail(conn))
            request.mark_response_started()
            response.add_timing(b"upstream", time.perf_counter() - started)
            if conn.status == SWITCHING_PROTOCOLS:
                self._disconnect_watcher.remove(request)
                await request.finish()
                await self._run_tunnel(conn, call, response)
            else:
                await response.stream_upstream(conn, is_internal=call.is_internal)
        except UpstreamClosed as error:
            if body.disconnected:
                raise ClientDisconnected from error
            raise
        finally:
            self._disconnect_watcher.remove(request)
            if not request.needs_no_cleanup:
                await request.finish()
            self._pool.release(upstream.address, conn)

    async def _run_tunnel(self, conn: UpstreamConnection, call: ProxyCall, response: ResponseWriter) -> None:
        if call.take_transport is None:
            raise UpstreamClosed(f"{call.name} sent an unexpected protocol upgrade")
        await run_tunnel(call.take_transport, conn, response.encode_upgrade_head(conn))


class RejectedByInstance(UpstreamClosed):
    """The instance rejected the call before starting it: safe to retry elsewhere."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__()
        self.upstream_status = status
        self.reason = reason

    def to_client_error(self, name: str) -> MeshError:
        """The error for the client when no other instance accepts the call."""
        if self.upstream_status == TooManyRequests.status:
            return TooManyRequests(f"{name} has too many calls waiting", retry_after=1.0)
        suffix = f": {self.reason}" if self.reason else ""
        return Unavailable(f"{name} does not accept calls at the moment{suffix}")


async def _read_detail(rejection: UpstreamConnection) -> str:
    """The detail of the component's problem document; empty when there is none within `DETAIL_TIMEOUT_S`."""
    content = b""
    try:
        async with asyncio.timeout(DETAIL_TIMEOUT_S):
            while len(content) <= MAX_REJECTION_BODY and (piece := await rejection.read_chunk()):
                content += piece
        document = orjson.loads(content)
    except (TimeoutError, MeshError, orjson.JSONDecodeError):
        return ""
    detail = document.get("detail") if isinstance(document, dict) else None
    return detail[:MAX_DETAIL] if isinstance(detail, str) else ""
