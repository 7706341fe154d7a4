"""What a forge's answer to a commit status means. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

from services.registry.forges.status_apis import StatusApi, cut

MAX_RETRY_AFTER_S = 3600.0
MAX_MESSAGE = 200
NO_TRANSITION = b"cannot transition status"
"""GitLab's answer, with status 400, when the commit has this state already."""


class Outcome(StrEnum):
    SENT = "sent"
    RETRY = "retry"
    STOP = "stop"
    """This token is not accepted: nothing more is sent with it."""
    REFUSED = "refused"
    """This status is not accepted, another one may be."""


@dataclass(frozen=True)
class StatusResult:
    """`error` is a sentence for the app's owners; `retry_after` in seconds, when the forge says it."""

    outcome: Outcome
    error: str | None = None
    retry_after: float | None = None


def judge_answer(api: StatusApi, status: int, headers: Mapping[str, str], body: bytes, now: float) -> StatusResult:
    """`headers` have lower-case names; `now` is in epoch seconds."""
    if 200 <= status < 300 or (status == 400 and NO_TRANSITION in body.lower()):
        return StatusResult(Outcome.SENT)
    error = f"{api.title} answered {status} to a commit status"
    if status >= 500 or status in (408, 429) or (status == 403 and is_rate_limited(headers)):
        return StatusResult(Outcome.RETRY, error, read_retry_after(headers, now))
    if advice := advise(api, status):
        return StatusResult(Outcome.STOP, f"{error}: {advice}")
    message = cut(body.decode(errors="replace").replace("\0", ""), MAX_MESSAGE)
    return StatusResult(Outcome.REFUSED, f"{error}: {message}" if message else error)


def advise(api: StatusApi, status: int) -> str | None:
    """What the app's owners can do about an answer that no other status would get differently."""
    if 300 <= status < 400:
        return "the repository was moved; write its new address into the Repository (url)"
    return {
        401: "the token is not valid; set a new one",
        403: f"the token may not do this; it needs {api.scope}",
        404: f"the token does not see the repository, or lacks {api.scope}",
    }.get(status)


def is_rate_limited(headers: Mapping[str, str]) -> bool:
    """GitHub answers 403 to too many requests, too."""
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"


def read_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from Retry-After (a number or a date), or from GitHub's time of the next window."""
    value = headers.get("retry-after", "")
    if not value and headers.get("x-ratelimit-remaining") == "0":
        return _limit(_parse_number(headers.get("x-ratelimit-reset", "")), since=now)
    if (seconds := _parse_number(value)) is not None:
        return _limit(seconds)
    try:
        return _limit(parsedate_to_datetime(value).timestamp(), since=now)
    except (ValueError, OverflowError):
        return None


def _parse_number(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _limit(seconds: float | None, since: float = 0.0) -> float | None:
    return None if seconds is None else min(max(seconds - since, 0.0), MAX_RETRY_AFTER_S)
