"""TCP forwarder to a gateway that listens only on the host's loopback address, which containers cannot reach.

It listens only on the host's addresses in the networks of apps. Its port is independent of the gateway's: containers
outlive a mesh that restarts on another port.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from urllib.parse import urlsplit

from libs.common import log
from libs.common.errors import Unavailable
from libs.common.http.server import CannotListen, bind

PORTS = range(8020, 8040)
"""The first free port is used: another program may listen on all addresses of this host."""
CHUNK = 1 << 18
CONNECT_TIMEOUT_S = 5.0
NOT_LOCAL_ERRORS = (errno.EADDRNOTAVAIL, errno.EACCES)
HTTP_PORT = 80


class GatewayForwarder:
    def __init__(self, url: str) -> None:
        """`url`: the gateway's URL at a loopback address."""
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or HTTP_PORT
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    async def listen(self, host: str) -> int | None:
        """Listen at `host` and return the port; None if `host` is not an address of this machine.

        Raises Unavailable if no port is free.
        """
        async with self._lock:
            if host not in self._servers:
                server = await self._start_server(host)
                if server is None:
                    return None
                self._servers[host] = server
            port: int = self._servers[host].sockets[0].getsockname()[1]
            return port

    def stop_listening(self, host: str) -> None:
        """The network was removed: stop listening there."""
        if server := self._servers.pop(host, None):
            server.close()

    async def close(self) -> None:
        for host in list(self._servers):
            self.stop_listening(host)
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next iteration of the loop

    async def _start_server(self, host: str) -> asyncio.Server | None:
        why = ""
        for port in PORTS:
            try:
                socket = bind(host, port)
            except CannotListen as error:
                if isinstance(error.__cause__, OSError) and error.__cause__.errno in NOT_LOCAL_ERRORS:
                    return None
                why = error.detail
                continue
            return await asyncio.start_server(self._on_connection, sock=socket, limit=CHUNK)
        raise Unavailable(f"cannot forward connections of containers to the gateway: {why}")

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            gateway_reader, gateway_writer = await self._connect_gateway(writer.get_extra_info("sockname")[0])
        except (OSError, TimeoutError) as error:
            log.get("worker").warning("Failed to forward a container's connection to the gateway", why=str(error))
        else:
            await relay_both_ways(reader, gateway_writer, gateway_reader, writer)
        finally:
            writer.close()

    async def _connect_gateway(self, local_host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect from `local_host`, so that the gateway does not mistake a container for a local program."""
        local = None if ":" in self._host else (local_host, 0)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await asyncio.open_connection(self._host, self._port, local_addr=local, limit=CHUNK)


async def relay_both_ways(
    client_reader: asyncio.StreamReader,
    gateway_writer: asyncio.StreamWriter,
    gateway_reader: asyncio.StreamReader,
    client_writer: asyncio.StreamWriter,
) -> None:
    """Copy both directions until the gateway ends the connection, or either side aborts it."""
    sending = asyncio.create_task(copy_stream(client_reader, gateway_writer))
    sending.add_done_callback(
        lambda task: gateway_writer.close() if not task.cancelled() and task.exception() else None
    )
    try:
        with contextlib.suppress(OSError):
            await copy_stream(gateway_reader, client_writer)
    finally:
        gateway_writer.close()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def copy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy with backpressure until EOF, and forward the EOF."""
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
