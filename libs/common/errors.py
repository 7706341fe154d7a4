"""Every error that a caller can see, drawn as one tree.

    MeshError 500
    ├── Malformed 400         ├── Conflict 409     ├── Invalid 422
    ├── Unauthorized 401      ├── Gone 410         ├── TooManyRequests 429
    ├── Forbidden 403         ├── TooLarge 413     ├── Unavailable 503
    ├── NotFound 404          │                    └── TimedOut 504
    └── MethodNotAllowed 405  └── PreconditionFailed 412, RangeNotSatisfiable 416, DiskFull 507, Damaged 500

A class's docstring is its default message. Rendered once, as RFC 9457 `application/problem+json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

PROBLEM_TYPE = "application/problem+json"
ERROR_HEADER = "X-Mlmesh-Error"
"""Marks an answer that is the mesh's own, not the called component's."""


class MeshError(Exception):
    """Something in the mesh went wrong; its log has the details under this request id."""

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
    """The database is damaged; it is to be restored from a backup."""


class Malformed(MeshError):
    """The request cannot be read."""

    status = 400


class Unauthorized(MeshError):
    """No credentials, or ones that are not valid here."""

    status = 401


class Forbidden(MeshError):
    """These credentials do not allow this."""

    status = 403


class NotFound(MeshError):
    """There is nothing at this address."""

    status = 404


class MethodNotAllowed(MeshError):
    """This address does not know this method."""

    status = 405


class SlowBody(MeshError):
    """The body did not come on for too long; send it again, without pauses."""

    status = 408
    retryable = True


class Conflict(MeshError):
    """The present state does not allow this."""

    status = 409


class Gone(MeshError):
    """It was here and has been removed."""

    status = 410


class PreconditionFailed(MeshError):
    """A condition that the request makes does not hold."""

    status = 412


class TooLarge(MeshError):
    """This is larger than what is allowed here."""

    status = 413


class UnknownEncoding(MeshError):
    """A body may be packed with gzip or deflate, once; send it so, or as it is."""

    status = 415


class RangeNotSatisfiable(MeshError):
    """The range is not within the file."""

    status = 416


class Invalid(MeshError):
    """The request is well-formed, but its content is not acceptable."""

    status = 422


class TooManyRequests(MeshError):
    """Too many requests at once; try again later."""

    status = 429
    retryable = True


class Unavailable(MeshError):
    """A part that this needs is not there at the moment; try again."""

    status = 503
    retryable = True

    def __init__(self, detail: str | None = None, *, retry_after: float | None = 1.0, **extensions: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **extensions)


class DiskFull(MeshError):
    """The platform's disk is full; remove something, or wait until something is removed."""

    status = 507
    retryable = True


class TimedOut(MeshError):
    """It took longer than it was allowed to."""

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


def problem_document(error: MeshError, request_id: str) -> dict[str, Any]:
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


def problem_headers(error: MeshError) -> dict[str, str]:
    """The headers that go with the problem document."""
    found = {"Content-Type": PROBLEM_TYPE, ERROR_HEADER: "1"}
    if error.retry_after is not None:
        found["Retry-After"] = str(max(1, round(error.retry_after)))
    return found


def from_problem(status: int, body: Mapping[str, Any]) -> MeshError:
    """The error that another service answered with, members kept."""
    known = {"type", "title", "status", "detail", "request_id", "retryable"}
    members = {key: value for key, value in body.items() if key not in known}
    kind = ERRORS_BY_STATUS.get(status, MeshError)
    detail = body.get("detail")
    return kind(str(detail) if detail else f"answered with status {status}", **members)
