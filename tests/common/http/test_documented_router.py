"""Documented routes: the document says what a function returns, and requests are served without it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from typing_extensions import TypedDict

from libs.common.http.documented_router import DocumentedRouter, build_service_document


class Leaf(TypedDict):
    """A leaf."""

    name: str


router = DocumentedRouter(prefix="/leaves", tags=["leaves"])


@router.get("/{name}")
async def show_leaf(name: str) -> Leaf:
    return {"name": name}


def test_the_document_says_what_a_function_returns() -> None:
    document = build_service_document("leaves", [router])
    operation = document["paths"]["/leaves/{name}"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert (operation["summary"], operation["tags"]) == ("Show leaf", ["leaves"])
    assert document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["required"] == ["name"]


def test_a_served_route_has_no_schemas_to_build_in_the_first_request() -> None:
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert (route.path, route.responses, route.include_in_schema) == ("/leaves/{name}", {}, False)


def test_threads_of_a_process_build_documents_one_after_another() -> None:
    building: list[int] = []
    seen: list[int] = []

    class SlowRouter(DocumentedRouter):
        def describe_routes(self) -> list[BaseRoute]:
            building.append(1)
            time.sleep(0.05)  # the other threads would enter meanwhile
            seen.append(len(building))
            building.pop()
            return []

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda name: build_service_document(name, [SlowRouter()]), "abc"))
    assert seen == [1, 1, 1]
