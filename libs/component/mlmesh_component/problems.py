"""Everything that can be wrong with a call, drawn as one tree, and its RFC 9457 document.

    Problem 500
    ├── Malformed 400       ├── MethodNotAllowed 405    ├── FunctionRaised 500
    ├── Unauthorized 401    ├── TooLarge 413            ├── WrongOutput 500
    ├── Forbidden 403       ├── Invalid 422             ├── Unavailable 503 ── Stopping
    └── NotFound 404        └── TooManyCalls 429        ├── CutShort 503
                                                        └── TimedOut 504

A class's docstring is its default detail.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from .http.framing import Headers

PROBLEM_TYPE = b"application/problem+json"
NOT_STARTED = (b"x-mlmesh-not-started", b"1")
"""Marks a refusal that was given before the function was called: it may be tried elsewhere."""

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
    """The request cannot be read."""

    status = 400


class Unauthorized(Problem):
    """This component answers only calls that carry its own token."""

    status = 401


class Forbidden(Problem):
    """The caller may not do this."""

    status = 403


class NotFound(Problem):
    """There is nothing at this address."""

    status = 404


class MethodNotAllowed(Problem):
    """This address does not know this method."""

    status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__(f"This address knows only {allowed}.")
        self.allowed = allowed

    def build_headers(self) -> Headers:
        return ((b"allow", self.allowed.encode("ascii")),)


class TooLarge(Problem):
    """This is larger than what is allowed here."""

    status = 413


class Invalid(Problem):
    """The request does not fit the function; `errors` names each input that is wrong."""

    status = 422

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{error['input']}: {error['message']}" for error in errors), errors=errors)


class TooManyCalls(Problem):
    """As many calls wait as may; try again."""

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
        """`error`: the exception's type and text, where it may be told."""
        members = {"error_id": error_id} if error is None else {"error_id": error_id, "error": error}
        detail = f"The {what} raised; the traceback is in the component's log under the error id {error_id}."
        super().__init__(detail, **members)


class WrongOutput(Problem):
    """The function returned something that is not a list of items or a dict of values."""


def invalid_input(name: str, message: str) -> Invalid:
    return Invalid([{"input": name, "message": message}])
