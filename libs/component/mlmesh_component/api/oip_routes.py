"""The routes of the Open Inference Protocol: server, model, readiness and infer, for the component's one model."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from .. import json_codec
from ..http.framing import Request
from ..http.reply import Cancel, Reply
from ..http.response import JSON_TYPE, Response, id_header
from ..problems import MethodNotAllowed, NotFound, Problem
from ..settings import Settings
from . import oip
from .codecs import OipCodec, oip_error_response
from .dispatcher import RequestDispatcher

_PATH = re.compile(
    rb"/v2(?:/health/(?P<health>live|ready)|"
    rb"/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<what>ready|infer))?)?/?"
)


class OipRoutes:
    def __init__(self, settings: Settings, dispatcher: RequestDispatcher) -> None:
        self._model = settings.component
        self._dispatcher = dispatcher

    def handle_request(self, path: bytes, request: Request, request_id: str, reply: Reply) -> Cancel | None:
        try:
            resource = self._parse_resource(path)
            methods = (b"POST",) if resource == "infer" else (b"GET", b"HEAD")
            if request.method not in methods:
                raise MethodNotAllowed(b", ".join(methods).decode("ascii"))
            if resource == "infer":
                return self._dispatcher.dispatch_request(request, OipCodec(request, request_id, self._model), reply)
            body = json_codec.encode(self._build_document(resource))
            reply(Response(200, body, JSON_TYPE, id_header(request_id)))
        except Problem as problem:
            reply(oip_error_response(problem, request_id))
        return None

    def _parse_resource(self, path: bytes) -> str:
        """Return `server`, `live`, `ready`, `model` or `infer`; raises `NotFound`."""
        match = _PATH.fullmatch(path)
        if match is None or match["version"] not in (None, oip.VERSION.encode()):
            raise NotFound()
        if match["model"] is None:
            return (match["health"] or b"server").decode()
        if unquote(match["model"].decode("latin-1")) != self._model:
            raise NotFound(f"There is no such model; this component serves {self._model!r}.")
        return (match["what"] or b"model").decode()

    def _build_document(self, resource: str) -> dict[str, Any]:
        if resource == "live":
            return {"live": True}
        if resource == "server":
            return {"name": oip.PLATFORM, "version": "2", "extensions": list(oip.EXTENSIONS)}
        self._dispatcher.require_executor()
        if resource == "ready":
            return {"name": self._model, "ready": True}
        return oip.build_metadata(self._model, self._dispatcher.schema)
