"""The routes of the Open Inference Protocol: server, model, readiness and infer, for the one model that is here."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from .. import json_codec
from ..http.framing import Request
from ..http.response import JSON_TYPE, Response, id_header
from ..problems import MethodNotAllowed, NotFound, Problem
from ..settings import Settings
from . import oip
from .codecs import Tensors, error_response
from .dispatcher import Asking, Cancel, Reply

_PATH = re.compile(
    rb"/v2(?:/health/(?P<health>live|ready)|"
    rb"/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<what>ready|infer))?)?/?"
)


class V2:
    def __init__(self, settings: Settings, asking: Asking) -> None:
        self._model = settings.component
        self._asking = asking

    def handle(self, path: bytes, request: Request, request_id: str, reply: Reply) -> Cancel | None:
        try:
            what = self._what(path)
            methods = (b"POST",) if what == "infer" else (b"GET", b"HEAD")
            if request.method not in methods:
                raise MethodNotAllowed(b", ".join(methods).decode("ascii"))
            if what == "infer":
                return self._asking.begin(request, Tensors(request, request_id, self._model), reply)
            body = json_codec.encode(self._document(what))
            reply(Response(200, body, JSON_TYPE, id_header(request_id)))
        except Problem as problem:
            reply(error_response(problem, request_id))
        return None

    def _what(self, path: bytes) -> str:
        """`server`, `live`, `ready`, `model` or `infer`."""
        found = _PATH.fullmatch(path)
        if found is None or found["version"] not in (None, oip.VERSION.encode()):
            raise NotFound()
        if found["model"] is None:
            return (found["health"] or b"server").decode()
        if unquote(found["model"].decode("latin-1")) != self._model:
            raise NotFound(f"There is no such model; the one here is {self._model!r}.")
        return (found["what"] or b"model").decode()

    def _document(self, what: str) -> dict[str, Any]:
        if what == "live":
            return {"live": True}
        if what == "server":
            return {"name": oip.PLATFORM, "version": "2", "extensions": list(oip.EXTENSIONS)}
        self._asking.check_open()
        if what == "ready":
            return {"name": self._model, "ready": True}
        return oip.metadata(self._model, self._asking.schema)
