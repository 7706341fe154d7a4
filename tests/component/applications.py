"""Web applications as developers write them: one in FastAPI, and some that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import Response, StreamingResponse

HEARD: list[str] = []
"""Messages that applications recorded for the tests."""
GO: list[asyncio.Event] = []
"""Endless responses wait until the last one is set."""


def afresh() -> None:
    HEARD.clear()
    GO[:] = [asyncio.Event()]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
    HEARD.append("up")
    yield {"word": "kept"}
    HEARD.append("down")


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def root(request: Request) -> dict[str, Any]:
    client = request.client
    return {"url": str(request.url), "base": str(request.base_url), "client": client.host if client else None}


@app.get("/state")
async def state(request: Request) -> str:
    return str(request.state.word)


@app.api_route("/echo/{path:path}", methods=["GET", "PUT", "PATCH", "DELETE", "OPTIONS"], include_in_schema=False)
async def echo(path: str, request: Request) -> dict[str, Any]:
    body = (await request.body()).decode()
    headers = {name: value for name, value in request.headers.items() if name.startswith(("x-", "auth"))}
    return {"method": request.method, "rest": path, "query": request.url.query, "body": body, "headers": headers}


@app.post("/size")
async def size(request: Request) -> dict[str, int]:
    pieces = [len(piece) async for piece in request.stream()]
    return {"size": sum(pieces), "largest": max(pieces, default=0)}


@app.post("/unread")
async def unread() -> Response:
    return Response(status_code=202)


@app.get("/events")
async def events(count: int = 3) -> StreamingResponse:
    async def each() -> AsyncIterator[str]:
        try:
            for number in range(count):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0)
            await GO[-1].wait()
        finally:
            HEARD.append("events ended")

    return StreamingResponse(each(), media_type="text/event-stream")


@app.get("/flood")
async def flood() -> StreamingResponse:
    async def each() -> AsyncIterator[bytes]:
        for number in range(10_000):
            HEARD[:] = [str(number)]
            yield b"x" * 100_000

    return StreamingResponse(each())


@app.get("/raises")
async def raises() -> None:
    raise ValueError("no such page")


@app.websocket("/ws")
async def ws(socket: WebSocket) -> None:
    await socket.accept(subprotocol="digits" if "digits" in socket.scope["subprotocols"] else None)
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                HEARD.append(f"left {message['code']}")
                return
            if message.get("text") == "bye":
                await socket.close(4000, "as you said")
            elif message.get("text") is not None:
                await socket.send_text(message["text"].upper())
            else:
                await socket.send_bytes(message["bytes"][::-1])
    except ValueError:
        HEARD.append("value error")


@app.websocket("/closed")
async def close_socket(socket: WebSocket) -> None:
    await socket.close()


@app.websocket("/broken")
async def broken(socket: WebSocket) -> None:
    raise ValueError("no such socket")


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Does not support lifespan."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"plain"})


async def cannot_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback...\nValueError: no weights"})


async def half(scope: Any, receive: Any, send: Any) -> None:
    """Returns in the middle of its response."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def answers_before_it_reads(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.body", "body": b"last"})


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Returns without sending a response."""
    assert scope["type"] == "http"
