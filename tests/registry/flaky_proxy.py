"""A TCP proxy to a real server that a test can disconnect and connect again."""

import asyncio
from contextlib import suppress


class FlakyProxy:
    """Forwards connections from `port` on this host to another address while connected."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def connect(self) -> None:
        self._server = await asyncio.start_server(self._handle_connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def disconnect(self) -> None:
        """Close all connections and accept no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for talk in [*self._connections]:
            talk.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        far_reader, far_writer = await asyncio.open_connection(*self._upstream)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy_stream(reader, far_writer))
                group.create_task(_copy_stream(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.transport.abort()


async def _copy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.close()
