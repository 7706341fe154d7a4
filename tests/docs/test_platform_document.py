"""The OpenAPI document of the platform is valid and complete, and its examples are true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import compile_path

from libs.common.http.api_document import find_references, list_operations
from services.gateway.pages.gateway_operations import OPERATIONS as OF_GATEWAY
from services.gateway.routing.paths import find_public_path
from services.scheduler.app import HOT_ROUTES
from services.scheduler.plans.submission import KNOWN_FIELDS
from services.scheduler.routes import submissions
from services.scheduler.routes.submissions import RunRequest
from tests.docs.platform_document import platform_document
from tests.docs.test_http_api import OWNERS_RUNS, Call, anonymous, of_gateway, of_services, public

OPERATIONS = list(list_operations(platform_document()))
IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]


def described() -> set[Call]:
    return {(method.upper(), anonymous(path)) for method, path, _ in list_operations(platform_document())}


def examples() -> Iterator[tuple[str, Any, Any]]:
    """Where, schema and example."""
    for method, path, operation in list_operations(platform_document()):
        parts = {"body": operation.get("requestBody", {}), **operation["responses"]}
        for name, part in parts.items():
            for media_type, media in part.get("content", {}).items():
                if "example" in media:
                    yield f"{method} {path} {name} {media_type}", media["schema"], media["example"]


def test_it_is_valid_openapi() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(platform_document()).iter_errors()] == []


def test_every_public_route_is_described_and_no_other() -> None:
    owned = {call for call in of_services() if call[1].startswith(OWNERS_RUNS)}
    inference = {call for call in described() if call[1].startswith("/{}/v2")}
    refused = {("PUT", "/{}/files/{}")}  # a box is no file
    assert len(inference) == len([operation for operation in OF_GATEWAY if operation.kind == "v2"])
    assert described() - inference == {*public(), *of_gateway(), *owned} - refused


def test_public_hot_routes_are_described_by_what_they_accept() -> None:
    hot = {route.path.pattern: route for route in HOT_ROUTES if "/apis/" in route.path.pattern}
    assert len(hot) == len(list(submissions.operations.routes))
    for route in submissions.operations.routes:
        assert isinstance(route, APIRoute)
        assert [method for method, path, _ in OPERATIONS if path == find_public_path("scheduler", route.path)] == [
            "post"
        ]
        assert any(compile_path(route.path)[0].pattern == pattern for pattern in hot)
    assert RunRequest.model_fields.keys() == KNOWN_FIELDS


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_every_operation_says_what_it_does_takes_and_returns(method: str, path: str, operation: Any) -> None:
    named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
    assert named == {part[1:-1] for part in path.replace(".json", "").split("/") if part.startswith("{")}
    assert operation["summary"]
    assert operation["tags"]
    assert "security" in operation
    assert {"4XX", "5XX"} <= operation["responses"].keys()
    succeeded = {status: part for status, part in operation["responses"].items() if status < "3"}
    assert succeeded
    for part in succeeded.values():
        for media in part.get("content", {}).values():
            assert media.get("schema"), part


def test_every_json_body_and_response_has_an_example_that_fits_its_schema() -> None:
    checked, schemas = 0, {"components": platform_document()["components"]}
    for place, schema, example in examples():
        errors = list(Draft202012Validator({**schemas, **schema}).iter_errors(example))
        assert errors == [], place
        checked += 1
    json_parts = [place for place, _, _ in examples() if place.endswith("application/json")]
    assert checked > len(json_parts) / 2 > 40


def test_every_schema_is_described_and_used() -> None:
    document = platform_document()
    schemas = document["components"]["schemas"]
    used = set(find_references(document["paths"])) | {
        name for schema in schemas.values() for name in find_references(schema)
    }
    assert used == set(schemas)
    assert [name for name, schema in schemas.items() if not schema.get("description") and "enum" not in schema] == []
