"""Routes that are called most, past the framework's own: its work would be a quarter of theirs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common.errors import MeshError
from libs.common.http.problems import invalid, rendered

Endpoint = Callable[[Request], Awaitable[Response]]


class Route(NamedTuple):
    method: str
    path: re.Pattern[str]
    endpoint: Endpoint


def post(path: str, endpoint: Endpoint) -> Route:
    """`path` as the framework has it: parameters in braces, each one part of the path."""
    return Route("POST", compile_path(path)[0], endpoint)


Model = TypeVar("Model", bound=BaseModel)


async def told(model: type[Model], request: Request) -> Model:
    """What the body says. Raises Invalid."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid(error.errors()) from error


class Answer(JSONResponse):
    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class Direct:
    """Plain ASGI before the application."""

    def __init__(self, app: ASGIApp, routes: Iterable[Route]) -> None:
        self._app, self._routes = app, tuple(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for method, path, endpoint in self._routes:
                if scope["method"] == method and (found := path.match(scope["path"])):
                    scope["path_params"] = found.groupdict()
                    response = await _answered(endpoint, Request(scope, receive))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def _answered(endpoint: Endpoint, request: Request) -> Response:
    try:
        return await endpoint(request)
    except MeshError as error:
        return rendered(error)
