"""What every service's HTTP side has: health, readiness, metrics, request ids, problem documents, the token."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from random import getrandbits
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import log
from libs.common.errors import ERRORS_BY_STATUS, Malformed, MeshError, SlowBody, Unauthorized
from libs.common.http.hot_routes import HotRoutes, Route
from libs.common.http.problem import problem_response, validation_error
from libs.common.settings import Settings

UNAUTHENTICATED_PATHS = ("/healthz", "/readyz", "/metrics")
"""Routes without a credential."""
REQUEST_ID_HEADER = b"x-request-id"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

ReadinessCheck = Callable[[], Awaitable[object]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


def create_app(
    name: str,
    settings: Settings,
    *,
    lifespan: Lifespan,
    checks: Callable[[], Mapping[str, ReadinessCheck]] | Mapping[str, ReadinessCheck] = {},  # noqa: B006  read only
    unauthenticated_paths: tuple[str, ...] = (),
    hot_routes: Sequence[Route] = (),
) -> ServiceApp:
    """An app of the service `name`; `checks` (or what it returns) are the parts of its readiness."""
    app = ServiceApp(
        title=f"mlmesh {name}",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # it would name the address of this service
    )
    app.state.settings = settings
    app.state.on_stop = []  # called when the server is asked to stop, before open requests end: wake what waits
    metrics = ServiceMetrics(name)
    _add_health_routes(app, name, metrics, checks)
    _add_error_handlers(app)
    guarded = InternalTokenMiddleware(
        HotRoutes(app.fastapi_app, hot_routes), settings.internal_token, UNAUTHENTICATED_PATHS + unauthenticated_paths
    )
    app.asgi_stack = RequestContextMiddleware(guarded, name, metrics)
    return app


class ServiceApp(FastAPI):
    """`front` is asked first. It ends in the framework, or before it."""

    asgi_stack: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await self.asgi_stack(scope, receive, send)

    async def fastapi_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


class ServiceMetrics:
    """Counters of one service, in a registry of its own: five services can live in one process."""

    def __init__(self, name: str) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            f"mlmesh_{name}_requests", "Requests by method and status", ["method", "status"], registry=self.registry
        )
        self.request_counter = cache(self._request_counter)
        self.seconds = Histogram(f"mlmesh_{name}_request_seconds", "Time to answer", registry=self.registry)

    def _request_counter(self, method: str, status: int) -> Counter:
        return self.requests.labels(method, str(status))


def _add_health_routes(
    app: FastAPI,
    name: str,
    metrics: ServiceMetrics,
    checks: Callable[[], Mapping[str, ReadinessCheck]] | Mapping[str, ReadinessCheck],
) -> None:
    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "alive", "service": name}

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        parts = checks() if callable(checks) else checks
        found = {part: await _failure_reason(check) for part, check in parts.items()}
        good = not any(found.values())
        body = {"ready": good, "parts": {part: {"ready": not why, "reason": why} for part, why in found.items()}}
        return JSONResponse(body, 200 if good else 503)

    @app.get("/metrics")
    async def numbers() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _failure_reason(check: ReadinessCheck) -> str | None:
    try:
        await check()
    except MeshError as error:
        return error.detail
    return None


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(MeshError)
    async def ours(_request: Request, error: MeshError) -> Response:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def unfit(_request: Request, error: RequestValidationError) -> Response:
        return problem_response(validation_error(error.errors()))

    @app.exception_handler(HTTPException)
    async def framework(_request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, SlowBody):
            return problem_response(error.__cause__)  # it says that the body cannot be read, whatever the cause
        kind = ERRORS_BY_STATUS.get(error.status_code, MeshError)
        return problem_response(kind(), extra=error.headers)

    @app.exception_handler(Exception)
    async def defect(_request: Request, error: Exception) -> Response:
        log.get("http").error("a request failed", exc_info=error)
        return problem_response(MeshError())


class InternalTokenMiddleware:
    """Refuses calls without the internal token. Written as plain ASGI: it must not touch streams."""

    def __init__(self, app: ASGIApp, token: str, open_paths: tuple[str, ...]) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(self._open):
            given = Headers(scope=scope).get("authorization", "").encode()
            if not hmac.compare_digest(given, self._expected):
                await problem_response(Unauthorized("this is an internal address"))(scope, receive, send)
                return
            if b"%00" in scope["query_string"]:  # no database keeps it, so nothing can be found by it
                await problem_response(Malformed("the query has the character U+0000; leave it out"))(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)


class RequestContextMiddleware:
    """Request id and trace context for the logs, one access line and one count a request."""

    def __init__(self, app: ASGIApp, service: str, metrics: ServiceMetrics) -> None:
        self._app = app
        self._service = service
        self._metrics = metrics
        self._log = log.get("access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope)
        identity = given.get("x-request-id", "")
        log.request_id.set(identity if REQUEST_ID.fullmatch(identity) else f"{getrandbits(128):032x}")
        log.traceparent.set(given.get("traceparent", ""))
        began, status = time.perf_counter(), 500

        async def traced(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                others = [one for one in message.get("headers", ()) if one[0].lower() != REQUEST_ID_HEADER]
                message["headers"] = [*others, (REQUEST_ID_HEADER, log.request_id.get().encode())]
            await send(message)

        try:
            await self._app(scope, receive, traced)
        finally:
            self._record_request(scope, status, time.perf_counter() - began)

    def _record_request(self, scope: Scope, status: int, seconds: float) -> None:
        self._metrics.request_counter(scope["method"], status).inc()
        self._metrics.seconds.observe(seconds)
        if scope["path"] not in UNAUTHENTICATED_PATHS:
            self._log.debug(
                "request",
                service=self._service,
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 1),
            )
