"""Generated requests are answered as the OpenAPI document says: no 5xx, and no other status, type or shape.

Operations are called with what exists, as far as that leaves the application alone, and with generated names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from libs.common.http.api_document import Document, list_operations
from tests.docs.platform_document import platform_document
from tests.e2e.application import Application

EXAMPLES = 4
"""Requests of each kind for each operation."""
TIMEOUT_S = 20.0
CONFORMANCE = [
    *CHECKS.get_by_names(["not_a_server_error"]),
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
HARMFUL = {"delete_app", "delete_secret", "delete_secret_key", "put_secret", "delete_run", "delete_run_as_owner"}
"""Operations that are called with generated names only, as the others need what these delete."""
ENDLESS = {"show_component_log": {"follow": "false"}}
"""Of a component that runs, its log has no end."""


OPEN_SCHEMAS = {"Problem", "InferenceError"}
"""Some have further members."""


def strict_document() -> Document:
    """No response has a member that is not described."""
    document: Document = {**platform_document()}
    schemas = {
        name: {**schema, "additionalProperties": False}
        if "properties" in schema and not schema.get("additionalProperties") and name not in OPEN_SCHEMAS
        else schema
        for name, schema in document["components"]["schemas"].items()
    }
    return {**document, "components": {**document["components"], "schemas": schemas}}


SCHEMA = schemathesis.openapi.from_dict(strict_document())
OPERATIONS = {
    f"{method} {path}": SCHEMA[path][method.upper()] for method, path, _ in list_operations(strict_document())
}


@pytest.fixture(scope="module")
def existing(embedded: Mesh, api: Api) -> dict[str, str]:
    """Values of path parameters: an application that has run once."""
    app = Application(embedded, api)
    app.start()
    run = app.submit()
    app.ended(run.headers["Location"])
    app.call("PUT", "/files/results/reports/a.csv", b"1,2\n")
    return {
        "ns": app.name,
        "path": "shout",
        "box": "results",
        "run_id": run.json()["id"],
        "variable": "second",
        "kind": "mlcomponent",
        "deployment": app.settled()["id"],
    }


def select_parameters(path: str, operation_id: str, existing: Mapping[str, str]) -> dict[str, str]:
    """The path parameters that exist."""
    if operation_id in HARMFUL:
        return {}
    values = {**existing}
    if "/components/" in path or "/models/" in path:
        values["name"] = "shout"
    if path == "/{ns}/{path}/runs":
        values["path"] = "copy"
    if "/files/" in path:
        values["path"] = "reports/a.csv" if operation_id in ("get_path", "head_path") else "reports/new.csv"
    return {name: value for name, value in values.items() if f"{{{name}}}" in path}


@pytest.mark.parametrize("name", OPERATIONS)
def test_generated_requests_are_answered_as_described(
    name: str, existing: dict[str, str], embedded: Mesh, api: Api
) -> None:
    operation = OPERATIONS[name]
    operation_id = operation.definition.raw["operationId"]
    headers = {"Authorization": f"Bearer {embedded.token}"}

    def call(case: Any) -> None:
        case.query = {**(case.query or {}), **ENDLESS.get(operation_id, {})}
        case.call_and_validate(embedded.url, session, headers=headers, checks=CONFORMANCE, timeout=TIMEOUT_S)

    with requests.Session() as session:
        BOUNDED(given(operation.as_strategy())(call))()
        if parameters := select_parameters(operation.path, operation_id, existing):
            BOUNDED(given(operation.as_strategy(path_parameters=parameters))(call))()


def test_the_mesh_serves_the_document_that_was_tested(embedded: Mesh, api: Api) -> None:
    assert api.get("/openapi.json") == {**platform_document(), "servers": [{"url": embedded.url}]}
