"""docs/http-api.md and the gateway's own description of the platform have the routes that there are, and no others."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from libs.common.http.api_document import list_operations
from services.gateway.routing.paths import API_SUFFIXES, METHODS
from services.scheduler.app import HOT_ROUTES
from tests.docs.platform_document import platform_document

PAGE = Path(__file__).parents[2] / "docs/http-api.md"
ROW = re.compile(r"^\| `(GET|HEAD|POST|PUT|PATCH|DELETE) (/[^`]*)` \|", re.MULTILINE)
OWNERS_RUNS = "/api/v1/apps/{}/runs"
Call = tuple[str, str]


def written() -> set[Call]:
    return {(method, anonymous(path)) for method, path in ROW.findall(PAGE.read_text())}


def anonymous(path: str) -> str:
    """Names of parameters are for readers."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def of_services() -> Iterator[Call]:
    for service in ("registry", "scheduler", "databox"):
        package = importlib.import_module(f"services.{service}.routes")
        for module in pkgutil.iter_modules(package.__path__):
            routes = importlib.import_module(f"{package.__name__}.{module.name}")
            for router in (getattr(routes, "router", None), getattr(routes, "operations", None)):  # of FastAPI, hot
                for route in router.routes if router else ():
                    yield from ((method, anonymous(route.path)) for method in route.methods)


def public() -> Iterator[Call]:
    """As the gateway lets them through, without Git's own protocol (tests/registry/scenarios/test_pushes.py)."""
    for method, path in of_services():
        if path.startswith("/internal/apps/{}/runs"):
            yield method, path.replace("/internal/apps/{}", "/{}")
        elif "/users/{}/files/" in path:
            yield method, path.replace("/internal/apps/{}/users/{}", "/{}")
        elif not path.startswith(("/internal/", OWNERS_RUNS, "/git/")):
            yield method, path


def of_gateway() -> Iterator[Call]:
    yield from (("GET", place) for place in ("/", "/{}", "/{}/{}", "/openapi.json"))
    yield from (("GET", f"/{kind}") for kind in ("healthz", "readyz", "metrics", "docs"))
    yield from ((METHODS[kind][0], f"/{{}}/{{}}/{tail}") for tail, kind in API_SUFFIXES.items())


SAME = {
    ("HEAD", "/links/{}"),
    ("PUT", "/{}/files/{}"),  # refused with a sentence
    ("HEAD", "/{}/files/{}"),
}
"""Not worth a line."""


def test_the_page_has_every_route_and_no_other() -> None:
    there = {*public(), *of_gateway()} - SAME
    assert (there - written(), written() - there) == (set(), set())


def test_owners_have_every_call_of_runs_that_callers_have() -> None:
    every = set(of_services())
    mine = {(method, path) for method, path in every if path.startswith("/internal/apps/{}/runs")}
    assert {(method, path.replace("/internal/apps/{}", "/api/v1/apps/{}")) for method, path in mine} <= every


def test_what_goes_past_the_framework_is_on_the_page_too() -> None:
    assert HOT_ROUTES
    assert ("POST", "/{}/{}/runs") in written()


def test_the_platforms_description_has_every_route_of_owners_and_operators() -> None:
    described = {(method.upper(), anonymous(path)) for method, path, _ in list_operations(platform_document())}
    runs = {call for call in of_services() if call[1].startswith(OWNERS_RUNS)}
    owned = {call for call in described if call[1].startswith(("/api/", "/hooks/"))}
    assert owned == {call for call in public() if call[1].startswith(("/api/", "/hooks/"))} | runs
