"""Errors as responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Response
from starlette.responses import JSONResponse

from libs.common import log
from libs.common.errors import Invalid, MeshError, problem_document, problem_headers


def validation_error(errors: Iterable[Any]) -> Invalid:
    """What a validation found, field by field."""
    found = [
        {"field": ".".join(str(part) for part in one["loc"] if part != "body"), "message": one["msg"]} for one in errors
    ]
    first = found[0] if found else {"field": "", "message": "not acceptable"}
    where = f"{first['field']}: " if first["field"] else ""
    return Invalid(f"{where}{first['message']}", errors=found)


def problem_response(error: MeshError, extra: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(
        problem_document(error, log.current_request_id()), error.status, {**problem_headers(error), **(extra or {})}
    )
