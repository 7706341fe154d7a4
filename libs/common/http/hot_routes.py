"""Hot routes: the most frequent requests bypass FastAPI, and Starlette's router.

What this buys, and how to measure it: docs/internals/http.md.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import orjson
from fastapi import Response
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common import log
from libs.common.errors import Invalid, Malformed, MeshError
from libs.common.http.problem import problem_response, validation_error

Model = TypeVar("Model", bound=BaseModel)


class RouteRequest(Request):
    """A request to a hot route."""

    async def body(self) -> bytes:
        """To be read once. Raises Malformed if the client disconnects before the end."""
        pieces = []
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise Malformed("the request was cut off")
            pieces.append(message["body"])
            if not message["more_body"]:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_model(self, model: type[Model]) -> Model:
        """The body as a model. Raises Invalid, Malformed."""
        body = await self.body()
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            if error.errors()[0]["type"] != "json_invalid":
                raise validation_error(error.errors()) from error
            return _validate_leniently(model, body)


def _validate_leniently(model: type[Model], body: bytes) -> Model:
    """pydantic's JSON parser rejects a document for one deep entry; orjson reads it. Raises Invalid."""
    try:
        return model.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error.msg}") from error
    except ValidationError as error:
        raise validation_error(error.errors()) from error


Endpoint = Callable[[RouteRequest], Awaitable[Response]]


class Route(NamedTuple):
    method: str
    path: re.Pattern[str]
    endpoint: Endpoint


def post_route(path: str, endpoint: Endpoint) -> Route:
    """`path` is written as for Starlette: parameters in braces, each one segment."""
    return Route("POST", compile_path(path)[0], endpoint)


class OrjsonResponse(JSONResponse):
    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class HotRoutes:
    """ASGI middleware that handles hot routes, and passes other requests to the application."""

    def __init__(self, app: ASGIApp, routes: Iterable[Route]) -> None:
        self._app, self._routes = app, tuple(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for method, path, endpoint in self._routes:
                if scope["method"] == method and (match := path.match(scope["path"])):
                    scope["path_params"] = match.groupdict()
                    response = await _call_endpoint(endpoint, RouteRequest(scope, receive))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def _call_endpoint(endpoint: Endpoint, request: RouteRequest) -> Response:
    try:
        return await endpoint(request)
    except MeshError as error:
        return problem_response(error)
    except Exception as error:  # noqa: BLE001  a bug: the log has the traceback, the caller gets a 500
        log.get("http").error("Request crashed", exc_info=error)
        return problem_response(MeshError())
