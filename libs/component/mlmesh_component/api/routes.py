"""Requests to responses: health, readiness, the description of the component, and the calls of its function."""

from __future__ import annotations

import asyncio
import sys
import traceback
import uuid
from typing import Any

from .. import json_codec
from ..function.executor import Calls
from ..function.function import Function
from ..http.framing import ProtocolError, Request
from ..http.response import JSON_TYPE, Response, id_header
from ..problems import MethodNotAllowed, NotFound, Problem
from ..settings import Settings
from ..thread_pool import Threads
from . import docs_page, openapi
from .auth import Door, request_id_of
from .codecs import Plain, problem_response
from .dispatcher import Asking, Cancel, Reply
from .oip_routes import V2

HTML_TYPE = b"text/html; charset=utf-8"

STARTING = "starting"
READY = "ready"
FAILED = "failed"
HUNG = "hung"


class Routes:
    """Answers of one component; `open` makes it ready."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, readers: Threads) -> None:
        self._settings = settings
        self._door = Door(settings.token)
        self._status = STARTING
        self._asking = Asking(settings, self._door, loop, readers)
        self._v2 = V2(settings, self._asking)
        self._pages: dict[bytes, tuple[bytes, bytes]] = {}

    # -- what becomes of the component

    def tell(self, status: str, reason: str) -> None:
        self._status, self._asking.reason = status, reason

    def open(self, calls: Calls, function: Function) -> None:
        self._asking.calls, self._asking.schema = calls, function.schema
        document = openapi.document(self._settings, function.schema, yields=function.yields)
        self._pages = {
            b"/openapi.json": (JSON_TYPE, json_codec.encode(document)),
            b"/docs": (HTML_TYPE, docs_page.render(document).encode("utf-8")),
        }
        self.tell(READY, "")

    def stop(self) -> None:
        """Nothing new is accepted any more."""
        self._asking.stopping = True

    def close(self) -> None:
        if self._asking.tracing is not None:
            self._asking.tracing.close()

    # -- requests

    def handle(self, request: Request, reply: Reply) -> Cancel | None:
        request_id = request_id_of(request.headers)
        try:
            return self._route(request, request_id, reply)
        except Problem as problem:
            reply(problem_response(problem, request_id))
        except Exception:  # noqa: BLE001 - a fault of ours is answered like any other, and logged
            sys.stderr.write("mlmesh: fault of the component's runtime\n" + traceback.format_exc())
            reply(problem_response(Problem(), request_id))
        return None

    def refuse(self, error: ProtocolError) -> Response:
        problem = Problem(error.detail)
        problem.status = error.status
        return problem_response(problem, uuid.uuid4().hex)

    def _route(self, request: Request, request_id: str, reply: Reply) -> Cancel | None:
        path = request.target.partition(b"?")[0]
        if path == b"/healthz":
            _allow(request, b"GET", b"HEAD")
            reply(_json(200, {"status": "ok"}, request_id))
            return None
        if path == b"/readyz":
            _allow(request, b"GET", b"HEAD")
            reply(self._readiness(request_id))
            return None
        self._door.check(request.headers)
        if path == b"/predict":
            _allow(request, b"POST")
            return self._asking.begin(request, Plain(request, request_id), reply)
        if path == b"/v2" or path.startswith(b"/v2/"):
            return self._v2.handle(path, request, request_id, reply)
        if path not in (b"/openapi.json", b"/docs"):
            raise NotFound()
        _allow(request, b"GET", b"HEAD")
        self._asking.check_open()
        content_type, body = self._pages[path]
        reply(Response(200, body, content_type, id_header(request_id)))
        return None

    def _readiness(self, request_id: str) -> Response:
        if self._asking.stopping:
            return _json(503, {"status": "stopping", "reason": "The component is being stopped."}, request_id)
        if self._asking.stuck:
            reason = "Every slot is held by a call that should have ended long ago."
            return _json(503, {"status": HUNG, "reason": reason}, request_id)
        if self._status == READY:
            return _json(200, {"status": READY}, request_id)
        return _json(503, {"status": self._status, "reason": self._asking.reason}, request_id)


def _allow(request: Request, *methods: bytes) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(b", ".join(methods).decode("ascii"))


def _json(status: int, value: Any, request_id: str) -> Response:
    return Response(status, json_codec.encode_own(value), JSON_TYPE, id_header(request_id))
