"""A router whose routes document their responses without validating them, and the OpenAPI document of a service."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_type_hints

from fastapi import APIRouter
from fastapi.datastructures import DefaultPlaceholder
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response
from starlette.routing import BaseRoute

from libs.common.http.api_document import OPENAPI_VERSION, Document, complete_document

PAGE_NAME = re.compile(r"\bPage_(\w+?)_\b")
"""pydantic's name of `Page[…]`."""
BUILD_LOCK = threading.Lock()
"""pydantic parses the source of a class for its docstrings: two threads of a process that call `ast.parse` at once may
get a SystemError before Python 3.11.8 and 3.12.2 (https://github.com/python/cpython/issues/106905)."""


class DocumentedRouter(APIRouter):
    """Documents the response as `response_model`, or else as the type that the function returns.

    Requests are served without that documentation: FastAPI would validate each response against the type, which mypy
    and the tests of the document do once, and would build its schema in the first request, which takes a second.
    """

    def __init__(self, *, prefix: str = "", tags: Sequence[str] = ()) -> None:
        super().__init__(prefix=prefix, tags=[*tags])
        self._operations: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._operations.append((path, endpoint, options))
        served = {"response_model": Any if _returns_content(endpoint) else None, "responses": None}
        super().add_api_route(path, endpoint, **{**options, **served, "include_in_schema": False})

    def describe_routes(self) -> list[BaseRoute]:
        """The routes with their documentation, which serve nothing."""
        described = APIRouter(prefix=self.prefix, tags=self.tags)
        for path, endpoint, options in self._operations:
            described.add_api_route(path, endpoint, **_document_options(endpoint, options))
        return described.routes


def _return_type(endpoint: Callable[..., Any]) -> Any:
    return get_type_hints(endpoint, include_extras=True).get("return")


def _is_response(returned: Any) -> bool:
    return isinstance(returned, type) and issubclass(returned, Response)


def _returns_content(endpoint: Callable[..., Any]) -> bool:
    returned = _return_type(endpoint)
    return not _is_response(returned) and returned is not type(None)


def _document_options(endpoint: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    has_content = _returns_content(endpoint)
    model = options["response_model"]
    if isinstance(model, DefaultPlaceholder):
        model = _return_type(endpoint) if has_content else None
    status, responses = options["status_code"] or 200, dict(options["responses"] or {})
    if model is not None:
        responses[status] = {"model": model, **responses.get(status, {})}
    is_plain_response = model is None and _is_response(_return_type(endpoint))
    return {
        **options,
        "response_model": Any if has_content else None,
        "responses": responses,
        "response_class": Response if is_plain_response else options["response_class"],
        "response_description": responses.get(status, {}).get("description", "OK"),
        "summary": options["summary"] or endpoint.__name__.replace("_", " ").capitalize(),
        "operation_id": options["operation_id"] or endpoint.__name__,
    }


def build_service_document(title: str, routers: Iterable[DocumentedRouter]) -> Document:
    """The OpenAPI document of the routes of these routers, internal ones too."""
    with BUILD_LOCK:
        routes = [route for router in routers for route in router.describe_routes()]
        document = get_openapi(title=title, version="1", openapi_version=OPENAPI_VERSION, routes=routes)
    named: Document = json.loads(PAGE_NAME.sub(r"\1Page", json.dumps(document)))
    return complete_document(named)
