"""The readiness probe: one connection for many requests, and no response that blocks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from services.worker.work import probe as module
from services.worker.work.probe import HealthProbe

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOT_YET = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Server:
    answers: list[bytes]
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def connections(self) -> int:
        return len(self.writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond with the next answer; an empty one closes the connection."""
        self.writers.append(writer)
        while (head := await reader.read(4096)) and self.answers:
            self.heads.append(head)
            if not (answer := self.answers.pop(0)):
                break
            writer.write(answer)
        writer.close()


@asynccontextmanager
async def serve_answers(*answers: bytes) -> AsyncIterator[Server]:
    server = Server(list(answers))
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
        for writer in server.writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def probe_of(server: Server) -> HealthProbe:
    return HealthProbe("127.0.0.1", server.port, "/readyz", {"X-Mlmesh-Token": "secret"})


async def test_one_connection_is_asked_again_and_again() -> None:
    async with serve_answers(OK, NOT_YET, OK) as server:
        probe = probe_of(server)
        assert [await probe.is_ready() for _ in range(3)] == [True, False, True]
        probe.close()
    head = f"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Mlmesh-Token: secret\r\n\r\n".encode()
    assert (server.connections, server.heads) == (1, [head] * 3)


async def test_a_connection_that_was_closed_meanwhile_is_opened_anew() -> None:
    async with serve_answers(OK, b"", OK) as server:
        probe = probe_of(server)
        assert [await probe.is_ready() for _ in range(2)] == [True, True]
        probe.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\n\r\nas long as it lasts", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 2000\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n\r\n", False),
        (b"x" * 200_000, False),
        (b"", False),
    ],
)
async def test_whatever_is_answered(answer: bytes, ready: bool) -> None:
    async with serve_answers(answer, OK) as server:
        probe = probe_of(server)
        assert await probe.is_ready() is ready
        assert await probe.is_ready() is True
        probe.close()


SAYS = b'{"status": "hung", "reason": "Every slot is held."}'


def not_ready_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (OK, None),
        (not_ready_answer(SAYS), "Every slot is held."),
        (not_ready_answer(b'{"reason": "' + b"x" * 2000 + b'"}'), "x" * 300),
        (not_ready_answer(b'{"reason": 7}'), "its health check returned 503"),
        (not_ready_answer(b"[]"), "its health check returned 503"),
        (not_ready_answer(b"<html>"), "its health check returned 503"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no response to the health check"),
        (b"", "no response to the health check"),
    ],
)
async def test_why_it_is_not_ready(answer: bytes, refusal: str | None) -> None:
    async with serve_answers(answer, OK) as server:
        probe = probe_of(server)
        await probe.is_ready()
        assert probe.not_ready_reason == refusal
        assert (await probe.is_ready(), probe.not_ready_reason) == (True, None)
        probe.close()


async def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    async with serve_answers(b"HTTP/1.1 200 OK\r\n", OK) as server:
        probe = probe_of(server)
        assert [await probe.is_ready(), await probe.is_ready()] == [False, True]
        probe.close()


async def test_where_nobody_listens() -> None:
    async with serve_answers() as server:
        pass
    assert await probe_of(server).is_ready() is False
