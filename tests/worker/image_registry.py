"""An image registry with one image of one empty file, protected by a password."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

LOGIN = {"username": "ann", "password": "s3cret"}
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class ImageRegistry:
    port: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifest: bytes = b""
    refused: int = 0

    @property
    def image(self) -> str:
        return f"127.0.0.1:{self.port}/closed/empty:1"

    def fill(self, mark: str) -> None:
        """`mark` makes the image unknown to the engine."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(f"empty-{mark}"))
        layer = out.getvalue()
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": [f"MARK={mark}"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
        packed, written = gzip.compress(layer, mtime=0), json.dumps(config).encode()
        self.blobs = {digest(blob): blob for blob in (packed, written)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": entry("application/vnd.docker.container.image.v1+json", written),
            "layers": [entry("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
        }
        self.manifest = json.dumps(manifest).encode()

    async def handle(self, request: web.Request) -> web.Response:
        credentials = base64.b64encode(f"{LOGIN['username']}:{LOGIN['password']}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {credentials}":
            self.refused += 1
            return web.json_response({}, status=401, headers={"WWW-Authenticate": 'Basic realm="closed"'})
        if "/manifests/" in request.path:
            headers = {"Docker-Content-Digest": digest(self.manifest), "Content-Type": MANIFEST}
            return web.Response(body=self.manifest, headers=headers)
        if "/blobs/" in request.path:
            return web.Response(body=self.blobs[request.path.rpartition("/")[2]])
        return web.json_response({})


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def entry(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": digest(content)}


@asynccontextmanager
async def image_registry(mark: str) -> AsyncIterator[ImageRegistry]:
    registry = ImageRegistry()
    registry.fill(mark)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    registry.port = runner.addresses[0][1]
    try:
        yield registry
    finally:
        await runner.cleanup()
