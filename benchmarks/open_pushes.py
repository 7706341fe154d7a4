"""What 64 pushes cost that have begun and send nothing: memory of the mesh, without Git's own processes."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

from benchmarks import mesh
from benchmarks.figures import Figure
from benchmarks.idle import memory_mb
from deploy.demo.mesh import Mesh
from deploy.demo.show import Failed
from services.registry.hosting.push_receiver import MAX_PUSHES, MAX_PUSHES_PER_APP

LIMIT_MB = 30.0
SETTLE_S = 5.0
COMMAND = f"{'0' * 40} {'1' * 40} refs/heads/main\0report-status side-band-64k"
PACK_HEADER = b"PACK\0\0\0\2\0\0\0\1"
"""Of a pack with one object, which does not come."""
LAST_CHUNK = b"\r\n0\r\n\r\n"


def figures() -> Iterator[Figure]:
    with mesh.application() as app, ExitStack() as pushes:
        pushes.enter_context(open_push(app.mesh, "warm-up"))
        time.sleep(SETTLE_S)
        before = memory_mb(app.mesh.pid)
        opened = [
            pushes.enter_context(open_push(app.mesh, f"app-{number // MAX_PUSHES_PER_APP}"))
            for number in range(MAX_PUSHES - 1)
        ]
        time.sleep(SETTLE_S)
        if ended := [push for push in opened if has_ended(push)]:
            raise Failed(f"{len(ended)} of the open pushes have ended: {ended[0].recv(500)!r}")
        yield Figure("open pushes: memory", memory_mb(app.mesh.pid) - before, LIMIT_MB, "MB", f"of {len(opened)}")


def open_push(mesh: Mesh, name: str) -> socket.socket:
    address = urlsplit(mesh.url)
    push = socket.create_connection((str(address.hostname), address.port or 80))
    user = base64.b64encode(f"git:{mesh.token}".encode()).decode()
    head = (
        f"POST /git/{name}.git/git-receive-pack HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Basic {user}\r\n"
        "Content-Type: application/x-git-receive-pack-request\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    body = f"{len(COMMAND) + 4:04x}{COMMAND}0000".encode() + PACK_HEADER
    push.sendall(head.encode() + f"{len(body):x}\r\n".encode() + body + b"\r\n")
    return push


def has_ended(push: socket.socket) -> bool:
    """The head of the answer comes at once, its last chunk with the end of the push."""
    push.setblocking(False)
    try:
        answer = push.recv(65536, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return not answer or answer.endswith(LAST_CHUNK)
