"""What our parts of HTTP save: processor time of one request without sockets, against the parts that they replace."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import Route, Router
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from benchmarks.figures import Figure, Finding
from libs.common import log
from libs.common.http.app import ServiceApp, create_app
from libs.common.http.hot_routes import OrjsonResponse, RouteRequest, post_route
from libs.common.http.server import build_config
from libs.common.http.uvicorn.protocol import HttpProtocol
from libs.common.settings import load_settings

BATCHES = 30
REQUESTS = 200
"""Requests of a batch. Of the batches the fastest counts: what else the machine does only adds time."""
MOST_OF_STARLETTE = 0.95
MOST_OF_FASTAPI = 0.5
MOST_OF_UVICORN = 0.9
TOKEN = "t" * 32
PATHS = [f"/internal/nouns/{{noun}}/verb-{number}" for number in range(6)]
PATH = "/internal/nouns/a/verb-5"
BODY = json.dumps({"worker": "w", "token": 7, "held": ["a", "b"]}).encode()
FIELDS = {"host": "127.0.0.1:8001", "authorization": f"Bearer {TOKEN}", "content-type": "application/json",
          "content-length": str(len(BODY)), "x-request-id": "a" * 32, "accept": "*/*"}  # fmt: skip
HEADERS = [(name.encode(), value.encode()) for name, value in FIELDS.items()]
RAW = b"".join([b"POST %b HTTP/1.1\r\n" % PATH.encode(), *[b"%b: %b\r\n" % field for field in HEADERS], b"\r\n", BODY])

Call = Callable[[], Awaitable[None]]


class Body(BaseModel):
    worker: str
    token: int
    held: list[str] = []


def figures() -> Iterator[Finding]:
    log.set_up("info", "json")
    routes = asyncio.run(measure({name: calling(app) for name, app in apps().items()}))
    yield compared("hot route, over Starlette's", routes, "hot", "Starlette", MOST_OF_STARLETTE)
    yield compared("hot route, over FastAPI's", routes, "hot", "FastAPI", MOST_OF_FASTAPI)
    protocols = asyncio.run(measure_protocols())
    yield compared("our protocol, over uvicorn's", protocols, "ours", "uvicorn", MOST_OF_UVICORN)


def compared(name: str, microseconds: dict[str, float], one: str, other: str, most: float) -> Figure:
    note = f"{microseconds[one]:.0f} against {microseconds[other]:.0f} µs"
    return Figure(name, microseconds[one] / microseconds[other], most, "×", note)  # noqa: RUF001


async def measure(calls: dict[str, Call]) -> dict[str, float]:
    """Processor time of one call in µs; the kinds take turns, so that all meet the same machine."""
    fastest = dict.fromkeys(calls, float("inf"))
    for _ in range(BATCHES):
        for name, call in calls.items():
            started = time.thread_time()
            for _ in range(REQUESTS):
                await call()
            fastest[name] = min(fastest[name], (time.thread_time() - started) / REQUESTS * 1e6)
    return fastest


# -- routes


def apps() -> dict[str, ServiceApp]:
    """The same endpoint at the same paths, behind the same middleware."""
    hot = new_app(hot_routes=[post_route(path, respond_hot) for path in PATHS])
    starlette, fastapi = new_app(), new_app()
    guard: Any = starlette.asgi_stack
    routes = [Route(path, respond_starlette, methods=["POST"]) for path in PATHS]
    guard._app._app = Router(routes, default=starlette.fastapi_app)
    for path in PATHS:
        fastapi.post(path)(respond_fastapi)
    return {"hot": hot, "Starlette": starlette, "FastAPI": fastapi}


def new_app(**options: Any) -> ServiceApp:
    settings, _ = load_settings({}, internal_token=TOKEN)
    return create_app("bench", settings, lifespan=no_lifespan, **options)


@asynccontextmanager
async def no_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


def respond(noun: str, body: Body, prefer: str | None) -> OrjsonResponse:
    return OrjsonResponse({"noun": noun, "token": body.token, "prefer": prefer})


async def respond_hot(request: RouteRequest) -> OrjsonResponse:
    return respond(request.path_params["noun"], await request.read_model(Body), request.headers.get("prefer"))


async def respond_starlette(request: Request) -> OrjsonResponse:
    body = Body.model_validate_json(await request.body())
    return respond(request.path_params["noun"], body, request.headers.get("prefer"))


async def respond_fastapi(noun: str, body: Body, request: Request) -> OrjsonResponse:
    return respond(noun, body, request.headers.get("prefer"))


def calling(app: ServiceApp) -> Call:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200

    async def call() -> None:
        scope = {"type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
                 "root_path": "", "headers": HEADERS, "http_version": "1.1", "scheme": "http", "state": {}}  # fmt: skip
        await app(scope, receive, send)

    return call


# -- protocols


class Transport(asyncio.Transport):
    """Counts responses, and sends nothing."""

    bodies = 0

    def write(self, data: Any) -> None:
        self.bodies += data.endswith(b"done")

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 8001) if name in ("peername", "sockname") else default

    def resume_reading(self) -> None:
        """There is nothing to read."""


async def measure_protocols() -> dict[str, float]:
    return await measure(
        {
            "ours": feeding(HttpProtocol, build_config(respond_asgi)),
            "uvicorn": feeding(HttpToolsProtocol, uvicorn.Config(respond_asgi, log_config=None, access_log=False)),
        }
    )


async def respond_asgi(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"done"})


def feeding(protocol: type[HttpToolsProtocol], config: uvicorn.Config) -> Call:
    config.load()
    transport = Transport()
    connection = protocol(config, ServerState(), {})
    connection.connection_made(transport)

    async def call() -> None:
        before = transport.bodies
        connection.data_received(RAW)
        while transport.bodies == before:  # noqa: ASYNC110 - an event would cost more than what is measured
            await asyncio.sleep(0)

    return call
