"""The ASGI app of every service: health, readiness, metrics, request ids, problem documents, internal token."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import log
from libs.common.errors import ERRORS_BY_STATUS, Malformed, MeshError, SlowBody, Unauthorized
from libs.common.http.api_document import Document
from libs.common.http.documented_router import DocumentedRouter, build_service_document
from libs.common.http.hot_routes import HotRoutes, Route
from libs.common.http.problem import problem_response, validation_error
from libs.common.http.request_id import accept_request_id
from libs.common.settings import Settings

UNAUTHENTICATED_PATHS = ("/healthz", "/readyz", "/metrics")
"""Paths that need no internal token."""
REQUEST_ID_HEADER = b"x-request-id"

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
    hot_operations: DocumentedRouter | None = None,
) -> ServiceApp:
    """The app of the service `name`; `checks` (or its result) are the parts of its readiness.

    `hot_operations` describe hot routes in the OpenAPI document.
    """
    app = ServiceApp(
        title=f"mlmesh {name}",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # the redirect would contain the address of this service
    )
    app.documented_routers = [] if hot_operations is None else [hot_operations]
    app.state.settings = settings
    app.state.on_stop = []  # called at shutdown, before open requests end: wakes long polls
    metrics = ServiceMetrics(name)
    _add_health_routes(app, name, metrics, checks)
    _add_document_route(app)
    _add_error_handlers(app)
    guarded = InternalTokenMiddleware(
        HotRoutes(app.fastapi_app, hot_routes), settings.internal_token, UNAUTHENTICATED_PATHS + unauthenticated_paths
    )
    app.asgi_stack = RequestContextMiddleware(guarded, name, metrics)
    return app


class ServiceApp(FastAPI):
    """A FastAPI app behind an ASGI stack of middleware and hot routes."""

    asgi_stack: ASGIApp
    documented_routers: list[DocumentedRouter]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await self.asgi_stack(scope, receive, send)

    def include_router(self, router: APIRouter, **options: Any) -> None:
        super().include_router(router, **options)
        if isinstance(router, DocumentedRouter):
            self.documented_routers.append(router)

    def openapi(self) -> Document:
        if self.openapi_schema is None:
            self.openapi_schema = build_service_document(self.title, self.documented_routers)
        return self.openapi_schema

    async def fastapi_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


class ServiceMetrics:
    """Metrics of one service, in a registry of its own: five services can share one process."""

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
    @app.get("/healthz", include_in_schema=False)
    async def get_liveness() -> dict[str, str]:
        return {"status": "alive", "service": name}

    @app.get("/readyz", include_in_schema=False)
    async def get_readiness() -> JSONResponse:
        parts = checks() if callable(checks) else checks
        reasons = {part: await _failure_reason(check) for part, check in parts.items()}
        is_ready = not any(reasons.values())
        body = {"ready": is_ready, "parts": {part: {"ready": not why, "reason": why} for part, why in reasons.items()}}
        return JSONResponse(body, 200 if is_ready else 503)

    @app.get("/metrics", include_in_schema=False)
    async def get_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _add_document_route(app: FastAPI) -> None:
    @app.get("/internal/openapi.json", include_in_schema=False)
    def get_openapi_document() -> JSONResponse:
        """What this service serves. No coroutine: the first call takes a second, in a thread."""
        return JSONResponse(app.openapi())


async def _failure_reason(check: ReadinessCheck) -> str | None:
    try:
        await check()
    except MeshError as error:
        return error.detail
    return None


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(MeshError)
    async def on_mesh_error(_request: Request, error: MeshError) -> Response:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(_request: Request, error: RequestValidationError) -> Response:
        return problem_response(validation_error(error.errors()))

    @app.exception_handler(HTTPException)
    async def on_http_exception(_request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, SlowBody):
            return problem_response(error.__cause__)  # FastAPI reports every failure to read the body as one error
        kind = ERRORS_BY_STATUS.get(error.status_code, MeshError)
        return problem_response(kind(), extra=error.headers)

    @app.exception_handler(Exception)
    async def on_crash(_request: Request, error: Exception) -> Response:
        log.get("http").error("Request crashed", exc_info=error)
        return problem_response(MeshError())


class InternalTokenMiddleware:
    """Rejects requests without the internal token. Plain ASGI, as it must not buffer streams."""

    def __init__(self, app: ASGIApp, token: str, open_paths: tuple[str, ...]) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(self._open):
            authorization = Headers(scope=scope).get("authorization", "").encode()
            if not hmac.compare_digest(authorization, self._expected):
                await problem_response(Unauthorized("Missing or wrong internal token"))(scope, receive, send)
                return
            if b"%00" in scope["query_string"]:  # no database stores it, so no query can match it
                await problem_response(Malformed("the query contains the character U+0000; remove it"))(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)


class RequestContextMiddleware:
    """Sets the request id and the trace context for the logs; logs and counts each request."""

    def __init__(self, app: ASGIApp, service: str, metrics: ServiceMetrics) -> None:
        self._app = app
        self._service = service
        self._metrics = metrics
        self._log = log.get("access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        log.request_id.set(accept_request_id(headers.get("x-request-id", "")))
        log.traceparent.set(headers.get("traceparent", ""))
        started, status = time.perf_counter(), 500

        async def send_with_request_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                unrelated = [header for header in message.get("headers", ()) if header[0].lower() != REQUEST_ID_HEADER]
                message["headers"] = [*unrelated, (REQUEST_ID_HEADER, log.request_id.get().encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_request_id)
        finally:
            self._record_request(scope, status, time.perf_counter() - started)

    def _record_request(self, scope: Scope, status: int, seconds: float) -> None:
        self._metrics.request_counter(scope["method"], status).inc()
        self._metrics.seconds.observe(seconds)
        if scope["path"] not in UNAUTHENTICATED_PATHS:
            self._log.debug(
                "Request served",
                service=self._service,
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 1),
            )
