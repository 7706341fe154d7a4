"""Problem documents (RFC 9457) as responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Response
from starlette.responses import JSONResponse

from libs.common import log
from libs.common.errors import Invalid, MeshError, problem_document, problem_headers


def validation_error(errors: Iterable[Any]) -> Invalid:
    """The error of a failed pydantic validation, with a message per field."""
    fields = [
        {"field": ".".join(str(part) for part in error["loc"] if part != "body"), "message": error["msg"]}
        for error in errors
    ]
    first = fields[0] if fields else {"field": "", "message": "invalid"}
    prefix = f"{first['field']}: " if first["field"] else ""
    return Invalid(f"{prefix}{first['message']}", errors=fields)


def problem_response(error: MeshError, extra: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(
        problem_document(error, log.current_request_id()), error.status, {**problem_headers(error), **(extra or {})}
    )
