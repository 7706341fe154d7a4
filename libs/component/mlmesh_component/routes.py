"""Requests to responses: predict, health, readiness and the description of the component."""

from __future__ import annotations

import asyncio
import hmac
import re
import sys
import time
import traceback
import uuid
from typing import Any, Callable

from . import jsontext, openapi, page
from .call import Call, Calls
from .context import Context
from .framing import ProtocolError, Request
from .function import Function
from .predict import Result
from .problems import (
    PROBLEM_TYPE,
    Malformed,
    MethodNotAllowed,
    NotFound,
    Problem,
    Stopping,
    Unauthorized,
    Unavailable,
)
from .response import Headers, Response
from .schema import Schema, check
from .settings import Settings
from .stream import Stream, framing
from .threads import Threads, back

JSON_TYPE = b"application/json"
HTML_TYPE = b"text/html; charset=utf-8"
LARGE_BODY_BYTES = 256 * 1024
"""A body larger than this is read in a thread, so that health and other calls are answered meanwhile."""

STARTING = "starting"
READY = "ready"
FAILED = "failed"

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")

Reply = Callable[[Response], None]
Cancel = Callable[[], None]


class Routes:
    """Answers of one component; `open` makes it ready."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, readers: Threads) -> None:
        self._settings = settings
        self._loop = loop
        self._readers = readers
        self._token = settings.token.encode("utf-8") if settings.token else None
        self._status = STARTING
        self._reason = "The function is being imported."
        self._calls: Calls | None = None
        self._schema = Schema()
        self._pages: dict[bytes, tuple[bytes, bytes]] = {}
        self.stopping = False

    # -- what becomes of the component

    def tell(self, status: str, reason: str) -> None:
        self._status, self._reason = status, reason

    def open(self, calls: Calls, function: Function) -> None:
        self._calls, self._schema = calls, function.schema
        document = openapi.document(self._settings, function.schema, yields=function.yields)
        self._pages = {
            b"/openapi.json": (JSON_TYPE, jsontext.encode(document)),
            b"/docs": (HTML_TYPE, page.render(document).encode("utf-8")),
        }
        self.tell(READY, "")

    # -- requests

    def handle(self, request: Request, reply: Reply) -> Cancel | None:
        request_id = _request_id(request)
        try:
            return self._route(request, request_id, reply)
        except Problem as problem:
            reply(_problem(problem, request_id))
        except Exception:  # noqa: BLE001 - a fault of ours is answered like any other, and logged
            sys.stderr.write("mlmesh: fault of the component's runtime\n" + traceback.format_exc())
            reply(_problem(Problem(), request_id))
        return None

    def refuse(self, error: ProtocolError) -> Response:
        problem = Problem(error.detail)
        problem.status = error.status
        return _problem(problem, uuid.uuid4().hex)

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
        self._authenticate(request)
        if path == b"/predict":
            _allow(request, b"POST")
            return self._predict(request, request_id, reply)
        if path not in (b"/openapi.json", b"/docs"):
            raise NotFound()
        _allow(request, b"GET", b"HEAD")
        self._check_open()
        content_type, body = self._pages[path]
        reply(Response(200, body, content_type, _id_header(request_id)))
        return None

    def _authenticate(self, request: Request) -> None:
        given = request.headers.get(b"x-mlmesh-token", b"")
        if self._token is not None and not hmac.compare_digest(given, self._token):
            raise Unauthorized()

    def _readiness(self, request_id: str) -> Response:
        if self.stopping:
            return _json(503, {"status": "stopping", "reason": "The component is being stopped."}, request_id)
        if self._status == READY:
            return _json(200, {"status": READY}, request_id)
        return _json(503, {"status": self._status, "reason": self._reason}, request_id)

    def _check_open(self) -> Calls:
        if self._calls is None:
            raise Unavailable(self._reason)
        return self._calls

    # -- predict

    def _predict(self, request: Request, request_id: str, reply: Reply) -> Cancel:
        if self.stopping:
            raise Stopping()
        calls = self._check_open()
        call = self._call(request, request_id, reply)
        if len(request.body) <= LARGE_BODY_BYTES:
            calls.admit(call, check(_body(request.body), self._schema))
        else:
            self._readers.submit(lambda: self._read_aside(calls, call, request.body))
        return lambda: calls.abandon(call)

    def _call(self, request: Request, request_id: str, reply: Reply) -> Call:
        headers = request.headers
        seconds = _timeout(headers.get(b"x-request-timeout"), self._settings.timeout)
        context = Context(
            request_id,
            _text(headers.get(b"x-mlmesh-user")),
            time.time() + seconds,
            self._settings.boxes,
            _text(headers.get(b"x-mlmesh-grant")),
            _text(headers.get(b"traceparent")),
        )

        def answer(result: Result) -> None:
            if isinstance(result, Stream):
                result.framing = framing(headers.get(b"accept", b""), request_id)
            reply(_answer(result, request_id))

        return Call(context, self._loop.time() + seconds, answer)

    def _read_aside(self, calls: Calls, call: Call, body: bytes) -> None:
        try:
            inputs = check(_body(body), self._schema)
        except Problem as problem:
            back(self._loop, call.answer, problem)
        else:
            back(self._loop, _admit, calls, call, inputs)


def _admit(calls: Calls, call: Call, inputs: Any) -> None:
    if call.over:
        return
    try:
        calls.admit(call, inputs)
    except Problem as problem:
        call.answer(problem)


def _answer(result: Result, request_id: str) -> Response:
    if isinstance(result, Problem):
        return _problem(result, request_id)
    if isinstance(result, Stream):
        return Response(200, b"", result.framing.content_type, _id_header(request_id), result)
    return Response(200, result, JSON_TYPE, _id_header(request_id))


def _body(body: bytes) -> Any:
    try:
        return jsontext.decode(body)
    except ValueError as error:
        raise Malformed(f"The body is not JSON: {error}.") from error


def _allow(request: Request, *methods: bytes) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(b", ".join(methods).decode("ascii"))


def _request_id(request: Request) -> str:
    given = request.headers.get(b"x-request-id", b"")
    return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _timeout(given: bytes | None, own: float) -> float:
    """Seconds of this call: the component's own, or what is left of the caller's when that is less."""
    try:
        left = float(given) if given is not None else own
    except ValueError:
        return own
    return min(own, max(0.0, left)) if left == left else own


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if value else None


def _id_header(request_id: str) -> Headers:
    return ((b"x-request-id", request_id.encode("ascii")),)


def _json(status: int, value: Any, request_id: str) -> Response:
    return Response(status, jsontext.encode(value), JSON_TYPE, _id_header(request_id))


def _problem(problem: Problem, request_id: str) -> Response:
    body = jsontext.encode(problem.document(request_id))
    return Response(problem.status, body, PROBLEM_TYPE, _id_header(request_id) + problem.headers())
