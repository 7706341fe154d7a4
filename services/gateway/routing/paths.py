"""What a path means, before anything is known of the app that it names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

from libs.common.errors import Malformed
from services.gateway.http_errors import WrongMethod

RESERVED = frozenset(
    {"api", "hooks", "console", "git", "links", "healthz", "readyz", "metrics", "docs", "openapi.json"}
)
SCHEDULERS_OF_APP = frozenset({"runs", "components", "schedules"})
SCHEDULERS = frozenset({"workers", "queues"})

Kind = Literal[
    "healthz", "readyz", "metrics", "docs", "openapi", "api", "hooks", "links",
    "predict", "submit", "describe", "page", "own", "v2", "runs", "files",
]  # fmt: skip

METHODS: dict[Kind, tuple[str, ...]] = {
    "healthz": ("GET", "HEAD"),
    "readyz": ("GET", "HEAD"),
    "metrics": ("GET", "HEAD"),
    "docs": ("GET", "HEAD"),
    "openapi": ("GET", "HEAD"),
    "api": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    "hooks": ("POST",),
    "links": ("GET", "HEAD", "PUT"),
    "predict": ("POST",),
    "submit": ("POST",),
    "describe": ("GET", "HEAD"),
    "page": ("GET", "HEAD"),
    "runs": ("GET", "HEAD", "POST", "DELETE"),
    "files": ("GET", "HEAD", "PUT", "DELETE"),
}
"""Kinds that are not here leave it to the component."""
OF_API: dict[str, Kind] = {"predict": "predict", "runs": "submit", "openapi.json": "describe", "docs": "page"}


SHORT = 256
"""Paths up to this length are remembered: the same few are called again and again."""


@dataclass(frozen=True, slots=True)
class Route:
    kind: Kind
    ns: str = ""
    path: str = ""
    """The API's path or the model's name, decoded."""
    box: str = ""
    rest: str = ""
    """What follows, percent-encoded as it came."""
    service: Literal["registry", "scheduler", "databox"] | None = None
    open: bool = False


def route(raw: str) -> Route | None:
    """The meaning of a percent-encoded path; None when it has none. Raises Malformed."""
    return _remembered(raw) if len(raw) <= SHORT else _read(raw)


def allow(kind: Kind, method: str) -> None:
    """Raises WrongMethod."""
    methods = METHODS.get(kind)
    if methods is not None and method not in methods:
        raise WrongMethod(methods)


def _read(raw: str) -> Route | None:
    if not raw.startswith("/"):
        return None
    if any(part in (".", "..") for part in unquote(raw).split("/")):
        raise Malformed('a path has no "." or ".." in it')
    first, _, rest = raw[1:].partition("/")
    if first in RESERVED:
        return _reserved(first, rest)
    second, slash, tail = rest.partition("/")
    ns = unquote(first)
    if second == "runs":
        return Route("runs", ns, rest=(slash + tail).rstrip("/"), service="scheduler")
    if second == "files":
        return _files(ns, tail)
    if second == "v2":
        return _v2(ns, slash + tail)
    return Route(OF_API.get(tail, "own"), ns, unquote(second), rest=slash + tail) if second else None


def _v2(ns: str, rest: str) -> Route:
    """The Open Inference Protocol: `rest` is what follows the model's name, or all that follows `v2`."""
    if not rest.startswith("/models/"):
        return Route("v2", ns, rest=rest)
    model, slash, tail = rest.removeprefix("/models/").partition("/")
    return Route("v2", ns, unquote(model), rest=slash + tail)


_remembered = lru_cache(maxsize=4096)(_read)


def _reserved(first: str, rest: str) -> Route | None:
    match first:
        case "healthz" | "readyz" | "metrics" | "docs":
            return Route(first) if not rest else None
        case "openapi.json":
            return Route("openapi") if not rest else None
        case "hooks":
            return Route("hooks", unquote(rest), service="registry") if rest and "/" not in rest else None
        case "links":
            return Route("links", service="databox", open=True) if rest else None
        case "api":
            return _api(rest.split("/"))
    return None


def _api(parts: list[str]) -> Route | None:
    if parts[0] != "v1" or len(parts) < 2 or not parts[1]:
        return None
    of_app = parts[1] == "apps" and len(parts) > 3 and parts[3] in SCHEDULERS_OF_APP
    service: Literal["registry", "scheduler"] = "scheduler" if of_app or parts[1] in SCHEDULERS else "registry"
    return Route("api", service=service, open=parts[1] == "schema" and len(parts) > 2)


def _files(ns: str, tail: str) -> Route | None:
    box = unquote(tail.partition("/")[0])
    return Route("files", ns, box=box, rest=tail, service="databox") if box else None
