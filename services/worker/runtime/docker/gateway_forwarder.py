"""The way from containers to a gateway that listens on this host's loopback address alone, where none of them comes.

It listens on the host's addresses in the networks of apps, nowhere else, and passes connections on. The port does not
depend on the gateway's: containers outlive a mesh that comes back on another one.
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
"""The first that is free at an address: another program may listen on all addresses of this host."""
CHUNK = 1 << 18
CONNECT_S = 5.0
ABSENT = (errno.EADDRNOTAVAIL, errno.EACCES)
HTTP = 80


class Forwarder:
    def __init__(self, url: str) -> None:
        """`url`: where the gateway answers, at a loopback address."""
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or HTTP
        self._servers: dict[str, asyncio.Server] = {}
        self._passing: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()

    async def listen(self, host: str) -> int | None:
        """The port at `host` that leads to the gateway; None: `host` is no address of this machine.

        Raises Unavailable when no port is free.
        """
        async with self._opening:
            if host not in self._servers:
                server = await self._listening(host)
                if server is None:
                    return None
                self._servers[host] = server
            port: int = self._servers[host].sockets[0].getsockname()[1]
            return port

    def forget(self, host: str) -> None:
        """Nobody is there any more."""
        if server := self._servers.pop(host, None):
            server.close()

    async def close(self) -> None:
        for host in list(self._servers):
            self.forget(host)
        passing = list(self._passing)
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed is gone in the loop's next turn

    async def _listening(self, host: str) -> asyncio.Server | None:
        why = ""
        for port in PORTS:
            try:
                bound = bind(host, port)
            except CannotListen as error:
                if isinstance(error.__cause__, OSError) and error.__cause__.errno in ABSENT:
                    return None
                why = error.detail
                continue
            return await asyncio.start_server(self._accept, sock=bound, limit=CHUNK)
        raise Unavailable(f"containers cannot be given a way to the gateway: {why}")

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._passed(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, onward = await self._connected(writer.get_extra_info("sockname")[0])
        except (OSError, TimeoutError) as error:
            log.get("worker").warning("a container's call cannot be passed on to the gateway", why=str(error))
        else:
            await exchanged(reader, onward, there, writer)
        finally:
            writer.close()

    async def _connected(self, own: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """From `own`, so that the gateway takes no container for a program of this host."""
        local = None if ":" in self._host else (own, 0)
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(self._host, self._port, local_addr=local, limit=CHUNK)


async def exchanged(
    asked: asyncio.StreamReader,
    onward: asyncio.StreamWriter,
    answered: asyncio.StreamReader,
    back: asyncio.StreamWriter,
) -> None:
    """Both ways, until the one that answers ends the connection, or one of the two breaks it off."""
    asking = asyncio.create_task(copied(asked, onward))
    asking.add_done_callback(lambda task: onward.close() if not task.cancelled() and task.exception() else None)
    try:
        with contextlib.suppress(OSError):
            await copied(answered, back)
    finally:
        onward.close()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, as fast as it is taken, and then the end."""
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
