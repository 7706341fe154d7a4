"""A run's callback: what may be asked for, what is told when, and how it is signed (Standard Webhooks 1.0). Pure.

A delivery's body is a CloudEvent 1.0 in JSON, whose `data` is the run as `GET` shows it. Its id stays the same however
often it is sent, so that a receiver can drop the second one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from yarl import URL

from libs.common.identity import ANONYMOUS
from libs.common.times import iso
from services.scheduler.model.run import Run

ENDS = ("succeeded", "failed", "canceled", "expired")
EVENTS = ("started", *ENDS)
PAUSES_S = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""Between the tries of one delivery: a receiver may be away for a day."""
MAX_URL = 2048
MAX_HEADERS = 16
MAX_HEADER = 4096
OURS = re.compile(r"(webhook-.*|content-.*|host|connection|transfer-encoding|user-agent)", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
GONE = 410

State = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, kw_only=True)
class Callback:
    """Whom to tell of a run, and what has been told."""

    run: str
    app: str
    user: str
    spec: dict[str, Any]
    told: list[str] = field(default_factory=list)
    version: int = 0
    """That of the run when it was last looked at."""
    open: bool = True


@dataclass(frozen=True, kw_only=True)
class Delivery:
    id: str
    run: str
    event: str
    body: str
    created_at: float
    state: State = "pending"
    tries: list[dict[str, Any]] = field(default_factory=list)
    next_at: float | None = None


def asked(value: Any) -> dict[str, Any]:
    """The callback of a submission, checked. Raises ValueError with what to write."""
    if not isinstance(value, dict) or value.keys() - {"url", "events", "headers"} or "url" not in value:
        raise ValueError("must be {url, events?, headers?}")
    return {
        "url": _url(value["url"]),
        "events": _events(value.get("events")),
        "headers": _headers(value.get("headers") or {}),
    }


def _url(value: Any) -> str:
    fits = isinstance(value, str) and len(value) <= MAX_URL and not re.search(r"[\x00-\x20\x7f]", value)
    try:
        parts = URL(value) if fits else URL()
    except ValueError:
        parts = URL()
    if parts.scheme not in ("http", "https") or not parts.host or not parts.port:
        raise ValueError("url: write an address that begins with https:// or http://")
    if parts.user is not None or parts.password is not None:
        raise ValueError("url: put credentials into headers")
    return str(value)


def _events(value: Any) -> list[str]:
    if value is None:
        return list(ENDS)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        names = {one.removeprefix("run.") for one in value}
        if names <= set(EVENTS):
            return sorted(names)
    raise ValueError(f"events: must be a list of {', '.join(EVENTS)}")


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_HEADERS:
        raise ValueError(f"headers: must be an object of at most {MAX_HEADERS} texts")
    for name, text in value.items():
        fits = isinstance(text, str) and len(text) <= MAX_HEADER and re.fullmatch(r"[\t\x20-\x7e]*", text)
        if not NAME.fullmatch(name) or not fits:
            raise ValueError(f"headers: {name[:128]!r} or its value cannot be a header")
        if OURS.fullmatch(name):
            raise ValueError(f"headers: {name} is set by the platform")
    return dict(value)


def described(spec: Mapping[str, Any], secret: str | None) -> dict[str, Any]:
    """What its caller may see of it: headers may be credentials."""
    return {"url": spec["url"], "events": spec["events"], **({"secret": secret} if secret else {})}


def due(callback: Callback, run: Run) -> dict[str, str]:
    """What is to be told now: a mark for each time that it happens → the event."""
    happened = {f"started {run.started_at}": "started"} if run.started_at is not None else {}
    if run.is_final:
        happened[f"{run.status} {run.finished_at}"] = run.status
    wanted = callback.spec["events"]
    return {mark: event for mark, event in happened.items() if event in wanted and mark not in callback.told}


def document(identity: str, run: Run, event: str, shown: Mapping[str, Any], public_url: str) -> dict[str, Any]:
    """The CloudEvent."""
    at = run.started_at if event == "started" else run.finished_at
    return {
        "specversion": "1.0",
        "id": identity,
        "source": f"{public_url}/{run.app}/runs",
        "type": f"mlmesh.run.{event}",
        "subject": run.id,
        "time": iso(at),
        "datacontenttype": "application/json",
        "data": dict(shown),
    }


def secret(key: str, app: str, user: str, run: str) -> str:
    """What a caller's callbacks from an app are signed with. Callers who say nobody is theirs share no secret."""
    whose = user if user != ANONYMOUS else f"{user}\0{run}"
    made = hmac.digest(key.encode(), f"callback\0{app}\0{whose}".encode(), hashlib.sha256)
    return "whsec_" + base64.b64encode(made).decode()


def signed(secret: str, identity: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of one try at `at` (epoch seconds)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{identity}.{at}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    return {"webhook-id": identity, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}


def tried(delivery: Delivery, status: int | None, error: str | None, took: float, now: float) -> dict[str, Any]:
    """The delivery's columns after a try; `status`: what the receiver answered, None when it could not be reached."""
    tries = [*delivery.tries, {"at": iso(now), "status": status, "error": error, "seconds": round(took, 3)}]
    if status is not None and 200 <= status < 300:
        return {"state": "delivered", "tries": tries, "next_at": None}
    since = len(tries) - 1
    if status == GONE or since >= len(PAUSES_S):
        return {"state": "failed", "tries": tries, "next_at": None}
    return {"state": "pending", "tries": tries, "next_at": now + PAUSES_S[since]}


def shown(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "event": delivery.event,
        "status": delivery.state,
        "attempts": delivery.tries,
        "next_at": iso(delivery.next_at),
        "created_at": iso(delivery.created_at),
    }
