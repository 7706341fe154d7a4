"""Every error that a caller can see, drawn as one tree.

    MeshError 500
    ├── Malformed 400         ├── Conflict 409     ├── Invalid 422
    ├── Unauthorized 401      ├── Gone 410         ├── TooManyRequests 429
    ├── Forbidden 403         ├── TooLarge 413     ├── Unavailable 503
    ├── NotFound 404          │                    └── TimedOut 504
    └── MethodNotAllowed 405  └── PreconditionFailed 412, RangeNotSatisfiable 416, DiskFull 507, DatabaseDamaged 500

A class's docstring is its default message. Rendered once, as RFC 9457 `application/problem+json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

PROBLEM_TYPE = "application/problem+json"
ERROR_HEADER = "X-Mlmesh-Error"
"""Marks an error response of the mesh itself, as opposed to one of the called component."""


class MeshError(Exception):
    """Internal error; the log has the details under this request id."""

    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None, **extensions: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.retry_after = retry_after
        self.extensions = extensions
        super().__init__(self.detail)

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase


class DatabaseDamaged(MeshError):
    """The database is damaged; restore it from a backup."""


class Malformed(MeshError):
    """The request cannot be parsed."""

    status = 400


class Unauthorized(MeshError):
    """Missing or invalid credentials."""

    status = 401


class Forbidden(MeshError):
    """Permission denied."""

    status = 403


class NotFound(MeshError):
    """Not found."""

    status = 404


class MethodNotAllowed(MeshError):
    """Method not allowed."""

    status = 405


class SlowBody(MeshError):
    """The request body stalled for too long; send it again without pauses."""

    status = 408
    retryable = True


class Conflict(MeshError):
    """Conflicts with the current state."""

    status = 409


class Gone(MeshError):
    """The resource has been removed."""

    status = 410


class PreconditionFailed(MeshError):
    """A precondition of the request failed."""

    status = 412


class TooLarge(MeshError):
    """The content exceeds the size limit."""

    status = 413


class UnknownEncoding(MeshError):
    """Unsupported content encoding; use gzip or deflate, once, or none."""

    status = 415


class RangeNotSatisfiable(MeshError):
    """The range is outside of the file."""

    status = 416


class Invalid(MeshError):
    """The request is well-formed, but its content is invalid."""

    status = 422


class TooManyRequests(MeshError):
    """Too many requests; try again later."""

    status = 429
    retryable = True


class Unavailable(MeshError):
    """A required service is unavailable; try again."""

    status = 503
    retryable = True

    def __init__(self, detail: str | None = None, *, retry_after: float | None = 1.0, **extensions: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **extensions)


class DiskFull(MeshError):
    """The disk of the platform is full; delete files, or try again later."""

    status = 507
    retryable = True


class TimedOut(MeshError):
    """The operation timed out."""

    status = 504
    retryable = True


ERRORS_BY_STATUS: Mapping[int, type[MeshError]] = {
    kind.status: kind
    for kind in (
        Malformed, Unauthorized, Forbidden, NotFound, MethodNotAllowed, SlowBody, Conflict, Gone, PreconditionFailed,
        TooLarge, UnknownEncoding, RangeNotSatisfiable, Invalid, TooManyRequests, Unavailable, TimedOut,
        DiskFull,
    )
}  # fmt: skip


def problem_document(error: MeshError, request_id: str) -> dict[str, object]:
    """The problem document (RFC 9457) of `error`."""
    return {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
        "retryable": error.retryable,
        **error.extensions,
    }


def find_first_error(error: Exception) -> Exception:
    """The first error of a task group, which may hold groups; any other error as it is."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def problem_headers(error: MeshError) -> dict[str, str]:
    """The headers of a response with the problem document."""
    headers = {"Content-Type": PROBLEM_TYPE, ERROR_HEADER: "1"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return headers


def from_problem(status: int, body: Mapping[str, Any]) -> MeshError:
    """The error of another service's problem document, with its extension members."""
    standard = {"type", "title", "status", "detail", "request_id", "retryable"}
    extensions = {key: value for key, value in body.items() if key not in standard}
    kind = ERRORS_BY_STATUS.get(status, MeshError)
    detail = body.get("detail")
    return kind(str(detail) if detail else f"the service responded with status {status}", **extensions)
