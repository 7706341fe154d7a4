"""The field `callback` of a submission: validation of URL, events and headers. Pure."""

from __future__ import annotations

import re
from typing import Any

from yarl import URL

from services.scheduler.model.callback import CallbackRequest

FINAL_EVENTS = ("succeeded", "failed", "canceled", "expired")
EVENTS = ("started", *FINAL_EVENTS)
MAX_URL_LENGTH = 2048
MAX_HEADERS = 16
MAX_HEADER_LENGTH = 4096
RESERVED_HEADERS = re.compile(r"(webhook-.*|content-.*|host|connection|transfer-encoding|user-agent)", re.IGNORECASE)
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


def parse_callback(value: Any) -> CallbackRequest:
    """The validated callback of a submission. Raises ValueError with advice."""
    if not isinstance(value, dict) or value.keys() - {"url", "events", "headers"} or "url" not in value:
        raise ValueError("must be {url, events?, headers?}")
    return CallbackRequest(
        url=_parse_url(value["url"]),
        events=_parse_events(value.get("events")),
        headers=_parse_headers(value.get("headers") or {}),
    )


def _parse_url(value: Any) -> str:
    is_printable = isinstance(value, str) and len(value) <= MAX_URL_LENGTH and not re.search(r"[\x00-\x20\x7f]", value)
    try:
        url = URL(value) if is_printable else URL()
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or not url.port:
        raise ValueError("url: write an address that begins with https:// or http://")
    if url.user is not None or url.password is not None:
        raise ValueError("url: put credentials into headers")
    return str(value)


def _parse_events(value: Any) -> tuple[str, ...]:
    if value is None:
        return FINAL_EVENTS
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        names = {name.removeprefix("run.") for name in value}
        if names <= set(EVENTS):
            return tuple(sorted(names))
    raise ValueError(f"events: must be a list of {', '.join(EVENTS)}")


def _parse_headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_HEADERS:
        raise ValueError(f"headers: must be an object of at most {MAX_HEADERS} texts")
    for name, text in value.items():
        is_valid = isinstance(text, str) and len(text) <= MAX_HEADER_LENGTH and re.fullmatch(r"[\t\x20-\x7e]*", text)
        if not HEADER_NAME.fullmatch(name) or not is_valid:
            raise ValueError(f"headers: {name[:128]!r} or its value cannot be a header")
        if RESERVED_HEADERS.fullmatch(name):
            raise ValueError(f"headers: {name} is set by the platform")
    return dict(value)
