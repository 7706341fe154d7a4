"""A forge for tests: the repositories of a folder over HTTP, served by Git itself."""

from __future__ import annotations

import os
import subprocess
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Forge(ThreadingHTTPServer):
    """`user` is `name:password` when only that one may read."""

    daemon_threads = True

    def __init__(self, host: str, folder: Path, user: str = "") -> None:
        super().__init__((host, 0), Handler)
        self.folder, self.user = folder, user

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Forge

    def do_GET(self) -> None:
        self._backend(b"")

    def do_POST(self) -> None:
        self._backend(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def _backend(self, body: bytes) -> None:
        if not self._allowed():
            self._answer(401, [("WWW-Authenticate", 'Basic realm="forge"')], b"")
            return
        path, _, query = self.path.partition("?")
        environ = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.server.folder), "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], env=environ, input=body, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = [(name.strip(), value.strip()) for name, _, value in map(_field, head.decode().splitlines())]
        status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
        self._answer(status, [field for field in fields if field[0] != "Status"], content)

    def _allowed(self) -> bool:
        if not self.server.user:
            return True
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        return b64decode(given).decode() == self.server.user

    def _answer(self, status: int, fields: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _field(line: str) -> tuple[str, str, str]:
    return line.partition(":")


@contextmanager
def serving(host: str, folder: Path, user: str = "") -> Iterator[Forge]:
    with Forge(host, folder, user) as forge:
        thread = threading.Thread(target=forge.serve_forever, daemon=True)
        thread.start()
        try:
            yield forge
        finally:
            forge.shutdown()
            thread.join()
