"""A fake mesh over real HTTP: sends the replies of a test, and records the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class RecordedRequest:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class FakeMesh:
    """Sends the replies of a method and path in order; the last one repeatedly."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[RecordedRequest] = []
        self._replies: dict[tuple[str, str], list[Reply]] = {}

    def set_replies(self, method: str, path: str, *replies: Any) -> None:
        """Set the replies of a route; other values than a Reply are bodies of a 200."""
        queued = [reply if isinstance(reply, Reply) else Reply(body=reply) for reply in replies]
        self._replies[method, path] = queued

    def next_reply(self, request: RecordedRequest) -> Reply:
        self.requests.append(request)
        queued = self._replies.get((request.method, request.path))
        if queued is None:
            return Reply(404, {"detail": f"no such route: {request.method} {request.path}"})
        return queued.pop(0) if len(queued) > 1 else queued[0]


@contextmanager
def fake_mesh() -> Iterator[FakeMesh]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mesh = FakeMesh(f"http://127.0.0.1:{server.server_address[1]}")
    server.mesh = mesh  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mesh
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    def _handle_request(self) -> None:
        url = urlsplit(self.path)
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = self._read_chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        request = RecordedRequest(self.command, url.path, query, {k.lower(): v for k, v in self.headers.items()}, body)
        reply = self.server.mesh.next_reply(request)  # type: ignore[attr-defined]
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.content)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.content)

    def _read_chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle_request

    def log_message(self, *_args: Any) -> None:
        """Log nothing."""
