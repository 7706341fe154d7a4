"""The exchange of an application: it awaits what the connection reports."""

from __future__ import annotations

import asyncio
from typing import cast

from ..http.connection import Connection
from ..http.exchange import Exchange
from ..http.framing import CONTINUE, ProtocolError, Request
from ..http.streaming_parser import StreamingParser


class ApplicationExchange(Exchange):
    """The body of the request is read from the connection in parts."""

    __slots__ = ("_changed", "connection", "disconnected", "parser", "request", "task")

    task: asyncio.Task[None]
    """Runs the application."""

    def __init__(self, request: Request, connection: Connection) -> None:
        super().__init__(request.minor)
        self.request = request
        self.connection = connection
        self.parser = cast(StreamingParser, connection.parser)
        self.disconnected = False
        self._changed = asyncio.Event()

    # -- called by the connection

    def receive_data(self) -> None:
        self.wake()

    def receive_eof(self) -> bool:
        self.wake()
        return True

    def resume_writing(self) -> None:
        self.wake()

    def disconnect(self) -> None:
        self.disconnected = True
        self.wake()

    # -- awaited by the application

    def wake(self) -> None:
        self._changed.set()

    async def wait_for_change(self) -> None:
        """Wait for `wake`; the application's tasks look for themselves what has changed."""
        self._changed.clear()
        await self._changed.wait()

    async def receive_body(self) -> tuple[bytes, bool]:
        """Wait for the next part of the request's body; also returns whether it was the last."""
        connection = self.connection
        if self.parser.expects_continue and not self.disconnected:
            connection.write(CONTINUE)
        while True:
            try:
                part, is_last = self.parser.next_body_part()
            except ProtocolError as error:
                self._reject_body(error)
                raise ConnectionResetError(error.detail) from error
            if part or is_last:
                return part, is_last
            if connection.peer_eof:
                self._reject_body(None)
                raise ConnectionResetError("the caller closed its sending side within a request")
            self._raise_if_disconnected()
            connection.resume_reading()
            await self.wait_for_change()

    def _reject_body(self, error: ProtocolError | None) -> None:
        """Close the connection, after a response to `error` if there is none yet."""
        self.disconnect()
        if error is None or self.response_started:
            self.connection.abort()
        else:
            self.connection.reject_request(error)

    async def write(self, data: bytes) -> None:
        """Write, and wait while the caller does not read."""
        self._raise_if_disconnected()
        self.response_started = True
        self.connection.write(data)
        while not self.connection.is_writable and not self.disconnected:
            await self.wait_for_change()

    def _raise_if_disconnected(self) -> None:
        if self.disconnected:
            raise ConnectionResetError("the caller has disconnected")
