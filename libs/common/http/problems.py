"""Errors as responses."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response
from starlette.responses import JSONResponse

from libs.common import log
from libs.common.errors import MeshError, headers, problem


def rendered(error: MeshError, extra: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(problem(error, log.current_request_id()), error.status, {**headers(error), **(extra or {})})
