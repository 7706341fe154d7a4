"""Direct routes: everything around them is as at any other route of a service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from libs.common.errors import NotFound
from libs.common.http.app import ServiceApp, create_app
from libs.common.http.hot_routes import OrjsonResponse, RouteRequest, post_route
from libs.common.http.server import bind, run_server, socket_url
from libs.common.settings import load_settings

TOKEN = "t" * 32
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Word(BaseModel):
    word: str
    times: int = 1


async def say(asked: RouteRequest) -> OrjsonResponse:
    said = await asked.read_model(Word)
    if said.word == "lost":
        raise NotFound("there is no such word")
    if said.word == "broken":
        raise KeyError(said.word)
    who = asked.headers.get("X-Who", "nobody")
    return OrjsonResponse(
        {"room": asked.path_params["room"], "said": said.word * said.times, "who": who}, 201, {"Location": "/x"}
    )


@pytest.fixture
def app() -> ServiceApp:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield

    settings, _ = load_settings({}, internal_token=TOKEN)
    found = create_app("echo", settings, lifespan=lifespan, hot_routes=(post_route("/rooms/{room}/words", say),))

    @found.get("/rooms/{room}/words")
    async def heard(room: str) -> dict[str, str]:
        return {"heard": room}

    return found


@pytest.fixture
async def client(app: ServiceApp) -> AsyncIterator[aiohttp.ClientSession]:
    socket = bind("127.0.0.1", 0)
    async with run_server(app, socket), aiohttp.ClientSession(socket_url(socket), headers=HEADERS) as found:
        yield found


async def test_what_is_asked_is_answered(client: aiohttp.ClientSession) -> None:
    asked = client.post("/rooms/a/words", json={"word": "ha", "times": 2}, headers={"x-WHO": "me"})
    async with asked as answer:
        assert (answer.status, await answer.json()) == (201, {"room": "a", "said": "haha", "who": "me"})
        assert answer.headers["location"] == "/x"
        assert len(answer.headers["x-request-id"]) == 32


async def test_the_callers_request_id_is_kept(client: aiohttp.ClientSession) -> None:
    async with client.post("/rooms/a/words", json={"word": "ha"}, headers={"X-Request-ID": "mine"}) as answer:
        assert answer.headers["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b'{"word": "lost"}', 404, "there is no such word"),
        (b'{"word": 7}', 422, "word: "),
        (b'{"word"', 422, "JSON"),
        (b"", 422, "JSON"),
        (b'{"word": "broken"}', 500, ""),
    ],
)
async def test_errors_are_problem_documents(client: aiohttp.ClientSession, body: bytes, status: int, says: str) -> None:
    async with client.post("/rooms/a/words", data=body) as answer:
        told = await answer.json()
    assert (answer.status, told["status"]) == (status, status)
    assert says in told["detail"]
    assert "KeyError" not in told["detail"]


async def test_other_methods_and_paths_are_the_frameworks(client: aiohttp.ClientSession) -> None:
    async with client.get("/rooms/b/words") as answer:
        assert await answer.json() == {"heard": "b"}
    async with client.put("/rooms/b/words") as answer:
        assert answer.status == 405
    async with client.post("/rooms/b/c/words", json={"word": "ha"}) as answer:
        assert answer.status == 404


async def test_without_the_token_nothing_is_asked(client: aiohttp.ClientSession) -> None:
    headers = {"Authorization": "Bearer other"}
    async with client.post("/rooms/a/words", json={"word": "ha"}, headers=headers) as answer:
        assert answer.status == 401


async def test_a_body_comes_in_pieces_and_one_that_breaks_off_is_an_error(app: ServiceApp) -> None:
    assert await answered(app, b'{"wor', b'd": "ha"}', ends=True) == 201
    assert await answered(app, b'{"word": "ha"}', ends=False) == 400


async def answered(app: ServiceApp, *pieces: bytes, ends: bool) -> int:
    """The status of the answer to a body in pieces, after which the caller may be gone."""
    messages: asyncio.Queue[Any] = asyncio.Queue()
    for number, piece in enumerate(pieces, 1):
        more = not ends or number < len(pieces)
        messages.put_nowait({"type": "http.request", "body": piece, "more_body": more})
    messages.put_nowait({"type": "http.disconnect"})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    scope = {"type": "http", "method": "POST", "path": "/rooms/a/words", "headers": headers, "query_string": b""}
    await app(scope, messages.get, send)
    json.loads(sent[1]["body"])
    status: int = sent[0]["status"]
    return status
