"""The error tree of a call; each error becomes an RFC 9457 problem document.

    Problem 500
    ├── Malformed 400       ├── MethodNotAllowed 405    ├── FunctionRaised 500
    ├── Unauthorized 401    ├── TooLarge 413            ├── WrongOutput 500
    ├── Forbidden 403       ├── Invalid 422             ├── Unavailable 503 ── Stopping
    └── NotFound 404        └── TooManyCalls 429        ├── CallAborted 503
                                                        └── TimedOut 504

A class's docstring is its default detail.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from .http.framing import Headers

PROBLEM_TYPE = b"application/problem+json"
NOT_STARTED = (b"x-mlmesh-not-started", b"1")
"""Marks an error response that was sent before the function was called: the gateway may retry elsewhere."""

RETRY_AFTER_SECONDS = 1


class Problem(Exception):
    """Something in the component's runtime went wrong; its log has the details."""

    status = 500
    retryable = False
    started = True
    """Whether the function may have been called."""

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        self.detail = detail or " ".join((type(self).__doc__ or "").split())
        self.members = members
        super().__init__(self.detail)

    def build_headers(self) -> Headers:
        retry = ((b"retry-after", b"%d" % RETRY_AFTER_SECONDS),) if self.retryable else ()
        return retry if self.started else (*retry, NOT_STARTED)

    def to_json(self, request_id: str) -> dict[str, Any]:
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.members,
        }


class Malformed(Problem):
    """The request cannot be parsed."""

    status = 400


class Unauthorized(Problem):
    """Missing or wrong instance token."""

    status = 401


class Forbidden(Problem):
    """Permission denied."""

    status = 403


class NotFound(Problem):
    """There is no such route."""

    status = 404


class MethodNotAllowed(Problem):
    """Method not allowed."""

    status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__(f"Method not allowed; use {allowed}.")
        self.allowed = allowed

    def build_headers(self) -> Headers:
        return ((b"allow", self.allowed.encode("ascii")),)


class TooLarge(Problem):
    """The content is too large."""

    status = 413


class Invalid(Problem):
    """The request does not fit the function; `errors` names each input that is wrong."""

    status = 422

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{error['input']}: {error['message']}" for error in errors), errors=errors)


class TooManyCalls(Problem):
    """Too many calls are waiting; try again."""

    status = 429
    retryable = True
    started = False


class Unavailable(Problem):
    """The component is not ready."""

    status = 503
    retryable = True
    started = False


class Stopping(Unavailable):
    """The component is being stopped."""


class CallAborted(Problem):
    """The component was stopped before the function returned."""

    status = 503
    retryable = True


class TimedOut(Problem):
    """The function did not return in time."""

    status = 504


class FunctionRaised(Problem):
    """The function raised."""

    def __init__(self, error_id: str, error: str | None = None, what: str = "function") -> None:
        """`error`: the exception's type and text, if the caller may see it."""
        members = {"error_id": error_id} if error is None else {"error_id": error_id, "error": error}
        detail = f"The {what} raised; the traceback is in the component's log under the error id {error_id}."
        super().__init__(detail, **members)


class WrongOutput(Problem):
    """The function returned something that is not a list of items or a dict of values."""


def invalid_input(name: str, message: str) -> Invalid:
    return Invalid([{"input": name, "message": message}])
