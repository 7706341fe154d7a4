"""The routes of a function component: health, readiness, OpenAPI and documentation page, predict."""

from __future__ import annotations

import asyncio
import sys
import traceback
from typing import Any

from .. import json_codec
from ..function.executor import Executor
from ..function.function import Function
from ..http.connection import Connection
from ..http.exchange import Exchange
from ..http.framing import ProtocolError, Request
from ..http.reply import Cancel, Reply, ReplyExchange
from ..http.response import JSON_TYPE, Response, id_header
from ..problems import MethodNotAllowed, NotFound, Problem
from ..settings import Settings
from ..thread_pool import ThreadPool
from . import docs_page, openapi
from .auth import InstanceTokenAuth, get_request_id
from .codecs import JsonCodec, problem_response, protocol_error_response
from .dispatcher import RequestDispatcher
from .oip_routes import OipRoutes

HTML_TYPE = b"text/html; charset=utf-8"

STARTING = "starting"
READY = "ready"
FAILED = "failed"
HUNG = "hung"


class Routes:
    """Routes requests to handlers; `mark_ready` makes the component ready."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, reader_threads: ThreadPool) -> None:
        self._settings = settings
        self._auth = InstanceTokenAuth(settings.token)
        self._status = STARTING
        self._dispatcher = RequestDispatcher(settings, self._auth, loop, reader_threads)
        self._oip_routes = OipRoutes(settings, self._dispatcher)
        self._pages: dict[bytes, tuple[bytes, bytes]] = {}

    # -- lifecycle

    def set_status(self, status: str, reason: str) -> None:
        self._status, self._dispatcher.not_ready_reason = status, reason

    def mark_ready(self, executor: Executor, function: Function) -> None:
        self._dispatcher.executor, self._dispatcher.schema = executor, function.schema
        document = openapi.build_document(self._settings, function.schema, yields=function.is_generator)
        self._pages = {
            b"/openapi.json": (JSON_TYPE, json_codec.encode(document)),
            b"/docs": (HTML_TYPE, docs_page.render(document).encode("utf-8")),
        }
        self.set_status(READY, "")

    def stop(self) -> None:
        """Refuse new calls from now on."""
        self._dispatcher.stopping = True

    def close(self) -> None:
        if self._dispatcher.tracing is not None:
            self._dispatcher.tracing.close()

    # -- requests

    def create_exchange(self, request: Request, connection: Connection) -> Exchange:
        return ReplyExchange(request, connection, self.handle_request)

    def handle_request(self, request: Request, reply: Reply) -> Cancel | None:
        request_id = get_request_id(request.headers)
        try:
            return self._route_request(request, request_id, reply)
        except Problem as problem:
            reply(problem_response(problem, request_id))
        except Exception:  # noqa: BLE001 - a bug of the runtime: log it and respond with 500
            sys.stderr.write("mlmesh: internal error of the component runtime\n" + traceback.format_exc())
            reply(problem_response(Problem(), request_id))
        return None

    def handle_protocol_error(self, error: ProtocolError) -> Response:
        return protocol_error_response(error)

    def _route_request(self, request: Request, request_id: str, reply: Reply) -> Cancel | None:
        path = request.target.partition(b"?")[0]
        if path == b"/healthz":
            _check_method(request, b"GET", b"HEAD")
            reply(_json_response(200, {"status": "ok"}, request_id))
            return None
        if path == b"/readyz":
            _check_method(request, b"GET", b"HEAD")
            reply(self._build_readiness(request_id))
            return None
        self._auth.authenticate(request.headers)
        if path == b"/predict":
            _check_method(request, b"POST")
            return self._dispatcher.dispatch_request(request, JsonCodec(request, request_id), reply)
        if path == b"/v2" or path.startswith(b"/v2/"):
            return self._oip_routes.handle_request(path, request, request_id, reply)
        if path not in (b"/openapi.json", b"/docs"):
            raise NotFound()
        _check_method(request, b"GET", b"HEAD")
        self._dispatcher.require_executor()
        content_type, body = self._pages[path]
        reply(Response(200, body, content_type, id_header(request_id)))
        return None

    def _build_readiness(self, request_id: str) -> Response:
        if self._dispatcher.stopping:
            return _json_response(503, {"status": "stopping", "reason": "The component is being stopped."}, request_id)
        if self._dispatcher.is_hung:
            reason = "Every slot is held by a call that is long past its deadline."
            return _json_response(503, {"status": HUNG, "reason": reason}, request_id)
        if self._status == READY:
            return _json_response(200, {"status": READY}, request_id)
        return _json_response(503, {"status": self._status, "reason": self._dispatcher.not_ready_reason}, request_id)


def _check_method(request: Request, *methods: bytes) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(b", ".join(methods).decode("ascii"))


def _json_response(status: int, value: Any, request_id: str) -> Response:
    return Response(status, json_codec.encode_with_escapes(value), JSON_TYPE, id_header(request_id))
