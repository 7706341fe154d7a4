"""OpenAPI documents of applications: valid ones are stored, others reported."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from services.worker.work import openapi_client
from services.worker.work.openapi_client import MAX_BYTES, MAX_DEPTH, InvalidOpenapi
from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import run_worker

GOOD = b'{"openapi": "3.1.0", "paths": {}}'
NESTED = b'{"a":' * 300 + b"1" + b"}" * 300
BAD = [
    (b"[1]", "not a JSON object"),
    (b'"text"', "not a JSON object"),
    (b"18446744073709551617", "not a JSON object"),
    (b"null", "not a JSON object"),
    (b"", "not JSON: Input is a zero-length, empty document"),
    (b"<!doctype html><html></html>", "not JSON: unexpected character, expected a JSON value"),
    (b'{"a": NaN}', "not JSON: unexpected character, expected a JSON value"),
    (b'{"a": 1e999}', "not JSON: number is infinity when parsed as double"),
    (b'{"a": "\\ud800"}', "not JSON: no low surrogate in string"),
    (GOOD.decode().encode("utf-16"), "not JSON: str is not valid UTF-8: surrogates not allowed"),
    (NESTED, f"nested more than {MAX_DEPTH} levels deep"),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, "not JSON: depth limit exceeded"),
]


@pytest.mark.parametrize(("content", "why"), BAD, ids=lambda content: repr(content[:20]))
def test_what_is_no_description_is_told_why(content: bytes, why: str) -> None:
    with pytest.raises(InvalidOpenapi) as unfit:
        openapi_client.parse_openapi(content)
    assert str(unfit.value) == why


@pytest.mark.parametrize(
    "content", [GOOD, b"\xef\xbb\xbf" + GOOD, b'{"a": 18446744073709551617}', b'{"a": "\\u0000"}', b"{}"]
)
def test_what_is_one_can_be_sent_and_kept(content: bytes) -> None:
    assert isinstance(openapi_client.parse_openapi(content), dict)


@asynccontextmanager
async def serve(handler: web.RequestHandler | object) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/openapi.json", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/openapi.json"
    finally:
        await runner.cleanup()


async def send_endlessly(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b'{"a": "')
    while True:
        await answer.write(b"x" * 65536)


async def never_finish(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b"{")
    await asyncio.Event().wait()
    return answer


async def abort_response(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "100"})
    await answer.prepare(request)
    await answer.write(b"{}")
    if request.transport:
        request.transport.abort()
    return answer


async def send_gzip(_request: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(GOOD), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (send_endlessly, f"larger than {MAX_BYTES} bytes"),
        (never_finish, "not complete within 0.5 s"),
        (abort_response, "the response ended early"),
        (send_gzip, "it is encoded as 'gzip', although that was not accepted"),
    ],
)
async def test_an_answer_that_is_none_is_told_why(handler: object, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if handler is never_finish:
        monkeypatch.setattr(openapi_client, "TIMEOUT", aiohttp.ClientTimeout(total=0.5))
    async with serve(handler) as url, aiohttp.ClientSession(auto_decompress=False) as session:
        with pytest.raises(InvalidOpenapi) as unfit:
            await openapi_client.fetch_openapi(session, url, {})
    assert str(unfit.value) == why


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound("http://127.0.0.1:1/")


async def send_not_found(_request: web.Request) -> web.Response:
    return web.Response(status=404)


@pytest.mark.parametrize("handler", [redirect, send_not_found])
async def test_no_answer_is_no_description_and_a_redirect_is_not_followed(handler: object) -> None:
    async with serve(handler) as url, aiohttp.ClientSession() as session:
        assert await openapi_client.fetch_openapi(session, url, {}) is None


APP = """
async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        while True:
            message = await receive()
            await send({'type': message['type'] + '.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'text/html')]})
    await send({'type': 'http.response.body', 'body': %r})
"""


@pytest.mark.usefixtures("quick_claims")
@pytest.mark.parametrize("says", [b"[1]", b'"text"', b"1" * 30, NESTED, b"<!doctype html>"], ids=lambda s: repr(s[:9]))
async def test_an_application_is_healthy_whatever_it_says_of_itself(
    mesh: FakeMesh, tmp_path: Path, says: bytes
) -> None:
    mesh.tree = {"web.py": APP % says}
    mesh.add_instance("t1", inference=None, app="web:app")
    async with run_worker(mesh, tmp_path):
        status = await mesh.wait_for_status(task="t1", state="healthy")
        mesh.add_stage("t2", "")
        assert (await mesh.wait_for_report())["task"] == "t2", "other work goes on"
    assert status["openapi"] is None
    assert status["detail"].startswith("invalid /openapi.json: n")
