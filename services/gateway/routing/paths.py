"""Parses a path into a route, independent of which apps exist."""

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
SCHEDULER_APP_NOUNS = frozenset({"runs", "components", "schedules"})
SCHEDULER_NOUNS = frozenset({"workers", "queues"})

Kind = Literal[
    "healthz", "readyz", "metrics", "docs", "openapi", "api", "hooks", "git", "links",
    "predict", "submit", "describe", "page", "web_app", "v2", "runs", "files",
]  # fmt: skip

METHODS: dict[Kind, tuple[str, ...]] = {
    "healthz": ("GET", "HEAD"),
    "readyz": ("GET", "HEAD"),
    "metrics": ("GET", "HEAD"),
    "docs": ("GET", "HEAD"),
    "openapi": ("GET", "HEAD"),
    "api": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    "hooks": ("POST",),
    "git": ("GET", "POST"),
    "links": ("GET", "HEAD", "PUT"),
    "predict": ("POST",),
    "submit": ("POST",),
    "describe": ("GET", "HEAD"),
    "page": ("GET", "HEAD"),
    "runs": ("GET", "HEAD", "POST", "DELETE"),
    "files": ("GET", "HEAD", "PUT", "DELETE"),
}
"""Allowed methods; kinds that are missing leave that to the component."""
API_SUFFIXES: dict[str, Kind] = {"predict": "predict", "runs": "submit", "openapi.json": "describe", "docs": "page"}


MAX_CACHED_PATH = 256
"""Longest path whose route is cached: most calls repeat a few paths."""


RUNS_PATH = "/internal/apps/{ns}/runs"
SUBMISSIONS_PATH = "/internal/apps/{ns}/apis/{path}/runs"
PREDICTIONS_PATH = "/internal/apps/{ns}/apis/{path}/calls"
FILES_PATH = "/internal/apps/{ns}/users/{user}/files"
PUBLIC_PREFIXES: dict[str, str] = {
    RUNS_PATH: "/{ns}/runs",
    SUBMISSIONS_PATH: "/{ns}/{path}/runs",
    PREDICTIONS_PATH: "/{ns}/{path}/predict",
    FILES_PATH: "/{ns}/files",
}
"""Internal paths of the services to which the gateway forwards requests for other paths."""


@dataclass(frozen=True, slots=True)
class Route:
    kind: Kind
    ns: str = ""
    path: str = ""
    """The API's path or the model's name, decoded."""
    box: str = ""
    suffix: str = ""
    """The remaining path, percent-encoded as received."""
    service: Literal["registry", "scheduler", "databox"] | None = None
    open: bool = False


def parse_path(raw: str) -> Route | None:
    """The route of a percent-encoded path; None when there is none. Raises Malformed."""
    return _parse_cached(raw) if len(raw) <= MAX_CACHED_PATH else _parse(raw)


def find_public_path(service: str, path: str) -> str | None:
    """Where the gateway serves a path (a template) of a service; None when it does not."""
    for prefix, public in PUBLIC_PREFIXES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return public + path.removeprefix(prefix)
    route = parse_path(path)
    return path if route is not None and route.service == service else None


def check_method(kind: Kind, method: str) -> None:
    """Raises WrongMethod."""
    methods = METHODS.get(kind)
    if methods is not None and method not in methods:
        raise WrongMethod(methods)


def _parse(raw: str) -> Route | None:
    if not raw.startswith("/"):
        return None
    if any(part in (".", "..") for part in unquote(raw).split("/")):
        raise Malformed('Path must not contain "." or ".." segments')
    first, _, remainder = raw[1:].partition("/")
    if first in RESERVED:
        return _parse_reserved(first, remainder)
    second, slash, tail = remainder.partition("/")
    ns = unquote(first)
    if second == "runs":
        return Route("runs", ns, suffix=(slash + tail).rstrip("/"), service="scheduler")
    if second == "files":
        return _parse_files(ns, tail)
    if second == "v2":
        return _parse_oip(ns, slash + tail)
    return Route(API_SUFFIXES.get(tail, "web_app"), ns, unquote(second), suffix=slash + tail) if second else None


def _parse_oip(ns: str, suffix: str) -> Route:
    """The Open Inference Protocol: `suffix` follows the model's name, or `v2` where no model is named."""
    if not suffix.startswith("/models/"):
        return Route("v2", ns, suffix=suffix)
    model, slash, tail = suffix.removeprefix("/models/").partition("/")
    return Route("v2", ns, unquote(model), suffix=slash + tail)


_parse_cached = lru_cache(maxsize=4096)(_parse)


def _parse_reserved(first: str, remainder: str) -> Route | None:
    match first:
        case "healthz" | "readyz" | "metrics" | "docs":
            return Route(first) if not remainder else None
        case "openapi.json":
            return Route("openapi") if not remainder else None
        case "hooks":
            return (
                Route("hooks", unquote(remainder), service="registry") if remainder and "/" not in remainder else None
            )
        case "git":
            return Route("git", service="registry") if "/" in remainder else None
        case "links":
            return Route("links", service="databox", open=True) if remainder else None
        case "api":
            return _parse_platform_api(remainder.split("/"))
    return None


def _parse_platform_api(parts: list[str]) -> Route | None:
    if parts[0] != "v1" or len(parts) < 2 or not parts[1]:
        return None
    of_app = parts[1] == "apps" and (bool(SCHEDULER_APP_NOUNS.intersection(parts[3:4])) or _is_of_builds(parts))
    service: Literal["registry", "scheduler"] = "scheduler" if of_app or parts[1] in SCHEDULER_NOUNS else "registry"
    return Route("api", service=service, open=parts[1] == "schema" and len(parts) > 2)


def _is_of_builds(parts: list[str]) -> bool:
    """`v1/apps/{ns}/deployments/{id}/builds…`: the rest of a deployment is the registry's."""
    return parts[3:4] == ["deployments"] and parts[5:6] == ["builds"]


def _parse_files(ns: str, tail: str) -> Route | None:
    box = unquote(tail.partition("/")[0])
    return Route("files", ns, box=box, suffix=tail, service="databox") if box else None
