"""Compressed request bodies are decompressed for components and services; malformed ones are refused."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from libs.common.errors import Malformed
from services.gateway.proxy.content_encoding import GZIP, MAX_PIECE, ZLIB, Decompressor
from tests.gateway.mesh import ALICE, Mesh, bearer_auth, run_services, wait_until_ready

BODY = b'{"inputs": []}' * 20_000
PACKED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]),
    "deflate": zlib.compress(BODY),
    "Deflate": zlib.compress(BODY)[2:-4],
}


@pytest.mark.parametrize("encoding", list(PACKED))
@pytest.mark.parametrize("path", ["/demo/digits/predict", "/demo/v2/models/digits/infer"])
async def test_a_component_gets_what_is_inside(mesh: Mesh, encoding: str, path: str) -> None:
    headers = {**ALICE, "Content-Encoding": encoding, "Inference-Header-Content-Length": "14"}
    assert (await mesh.call("POST", path, data=PACKED[encoding], headers=headers))[0] == 200
    (request,) = mesh.component.requests
    assert (request.body, request.headers["inference-header-content-length"]) == (BODY, "14")
    assert "content-encoding" not in request.headers


async def test_services_get_what_is_inside_and_files_stay_as_they_are(mesh: Mesh) -> None:
    packed = {"Content-Encoding": "gzip"}
    await mesh.call("POST", "/demo/train/runs", data=PACKED["gzip"], headers={**ALICE, **packed})
    await mesh.call("POST", "/api/v1/validate", data=PACKED["gzip"], headers={**bearer_auth("owner"), **packed})
    await mesh.call("PUT", "/demo/files/data/a/b", data=PACKED["gzip"], headers={**ALICE, **packed})
    assert BODY in [request.body for request in mesh.scheduler.requests]
    assert BODY in [request.body for request in mesh.registry.requests]
    assert PACKED["gzip"] in [request.body for request in mesh.databox.requests]


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("br", b"x", 415),
        ("gzip, gzip", b"x", 415),
        ("gzip", b"no gzip", 400),
        ("gzip", PACKED["gzip"][:-3], 400),
        ("gzip", PACKED["gzip"] + b"more", 400),
        ("deflate", PACKED["deflate"] + b"more", 400),
        ("identity", b"{}", 200),
        ("gzip", b"", 200),
    ],
)
async def test_what_cannot_be_unpacked_is_refused(mesh: Mesh, encoding: str, body: bytes, status: int) -> None:
    headers = {**ALICE, "Content-Encoding": encoding}
    response_status, answered, _ = await mesh.call("POST", "/demo/digits/predict", data=body, headers=headers)
    assert response_status == status
    assert (answered.get("Accept-Encoding") == "gzip, deflate") is (status == 415)


async def test_the_limit_is_for_what_is_inside(tmp_path: Path) -> None:
    async with run_services(tmp_path, body_limit=5_000_000) as mesh, mesh.gateway():
        await wait_until_ready(mesh)
        bomb = gzip.compress(bytes(50_000_000))
        headers = {**ALICE, "Content-Encoding": "gzip"}
        assert (await mesh.call("POST", "/demo/digits/predict", data=bomb, headers=headers))[0] == 413


@pytest.mark.parametrize(("kind", "encoding"), [(GZIP, "gzip"), (GZIP, "x-gzip"), (ZLIB, "deflate"), (ZLIB, "Deflate")])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_pieces_are_bounded_and_cuts_do_not_matter(kind: int, encoding: str, step: int) -> None:
    unpacker, decoded = Decompressor(kind), b""
    packed = PACKED[encoding]
    for at in range(0, len(packed), step):
        unpacker.feed(packed[at : at + step])
        while piece := unpacker.read_piece():
            assert len(piece) <= MAX_PIECE
            decoded += piece
    unpacker.finish()
    assert decoded == BODY


def test_an_end_too_soon_is_malformed() -> None:
    unpacker = Decompressor(GZIP)
    unpacker.feed(PACKED["gzip"][:20])
    unpacker.read_piece()
    with pytest.raises(Malformed):
        unpacker.finish()
