"""A real HTTP server with the gateway's file routes."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.component.serving import Answer, Served


@dataclass
class Boxes:
    """The stored files, and the requests that were received."""

    files: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    status: int | None = None
    put_status: int | None = None
    reply_body: bytes = b""
    cut: bool = False
    url: str = ""


def handler_of(boxes: Boxes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._record_call()
            data = boxes.files.get(self.path.partition("?")[0])
            status = boxes.status or (404 if data is None else 200)
            body = data if data is not None and status == 200 else b"{}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + (5 if boxes.cut else 0)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = boxes.cut

        def do_PUT(self) -> None:
            self._record_call()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if boxes.put_status is None:
                boxes.files[self.path.partition("?")[0]] = body
            self.send_response(boxes.put_status or 201)
            self.send_header("Content-Length", str(len(boxes.reply_body)))
            self.end_headers()
            self.wfile.write(boxes.reply_body)

        def _record_call(self) -> None:
            boxes.calls.append((self.command, self.path, self.headers["X-Mlmesh-Grant"], self.headers["X-Request-ID"]))

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def file_routes() -> Iterator[Boxes]:
    held = Boxes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(held)) as server:
        held.url = f"http://127.0.0.1:{server.server_port}/base"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield held
        server.shutdown()
        thread.join()


async def send(served: Served, name: str) -> Answer:
    body = b'{"inputs": [{"name": "text", "datatype": "FILE", "data": "%s"}]}' % name.encode()
    return await served.ask("POST", "/predict", body, X_Mlmesh_Grant="granted", X_Request_ID="r1")
