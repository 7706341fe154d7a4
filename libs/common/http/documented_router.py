"""A router whose routes document their responses without validating them, and the OpenAPI document of a service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from fastapi import APIRouter
from fastapi.datastructures import DefaultPlaceholder
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response
from starlette.routing import BaseRoute

from libs.common.http.api_document import OPENAPI_VERSION, Document, complete_document

PAGE_NAME = re.compile(r"\bPage_(\w+?)_\b")
"""pydantic's name of `Page[…]`."""


class DocumentedRouter(APIRouter):
    """Documents the response as `response_model`, or else as the type that the function returns.

    FastAPI would validate each response against that type; mypy and the tests of the document do it once.
    """

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        returned = get_type_hints(endpoint, include_extras=True).get("return")
        is_response = isinstance(returned, type) and issubclass(returned, Response)
        has_content = not is_response and returned is not type(None)
        model = options["response_model"]
        if isinstance(model, DefaultPlaceholder):
            model = returned if has_content else None
        status, responses = options["status_code"] or 200, dict(options["responses"] or {})
        if model is not None:
            responses[status] = {"model": model, **responses.get(status, {})}
        options["response_model"] = Any if has_content else None
        options["responses"] = responses
        options["response_class"] = Response if is_response and model is None else options["response_class"]
        options["response_description"] = options["responses"].get(status, {}).get("description", "OK")
        options["summary"] = options["summary"] or endpoint.__name__.replace("_", " ").capitalize()
        options["operation_id"] = options["operation_id"] or endpoint.__name__
        super().add_api_route(path, endpoint, **options)


def build_service_document(title: str, routes: Sequence[BaseRoute]) -> Document:
    """The OpenAPI document of all routes that are documented, internal ones too."""
    document = get_openapi(title=title, version="1", openapi_version=OPENAPI_VERSION, routes=routes)
    named: Document = json.loads(PAGE_NAME.sub(r"\1Page", json.dumps(document)))
    return complete_document(named)
