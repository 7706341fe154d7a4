from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from mlmesh_component.api import docs_page, openapi
from mlmesh_component.function.schema import Schema
from mlmesh_component.function.signature import build_schema
from mlmesh_component.settings import Settings
from mlmesh_component.startup_message import format_startup_message

from tests.component import functions
from tests.component.serving import numbers, text

SETTINGS = Settings("m:f", component="adder")
ADD = build_schema(functions.add)


def request_schema(schema: Schema) -> Any:
    described = openapi.build_document(SETTINGS, schema)
    return described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]


def test_the_example_is_made_from_the_schema() -> None:
    described = openapi.build_document(SETTINGS, ADD)
    operation = described["paths"]["/predict"]["post"]
    assert operation["summary"] == "Adds up numbers."
    assert operation["requestBody"]["content"]["application/json"]["example"] == {
        "inputs": [{"name": "x", "datatype": "FP32", "data": [0.5], "shape": [1]}]
    }
    answer = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert [output["name"] for output in answer["outputs"]] == ["total", "count"]


def test_a_warm_up_request_is_the_better_example() -> None:
    warm = {"inputs": [numbers("x", 1.0, 2.0)]}
    assert openapi.example_request(Settings("m:f", warmup=(warm,)), ADD) == warm


@pytest.mark.parametrize(
    "function",
    [functions.add, functions.echo, functions.greet, functions.hello, functions.upper, functions.call_details],
)
def test_the_example_fits_the_described_request(function: Any) -> None:
    schema = build_schema(function)
    jsonschema.validate(openapi.example_request(SETTINGS, schema), request_schema(schema))


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ({"inputs": [numbers("x", 1.0)]}, True),
        ({"inputs": [numbers("x", 1.0, datatype="FP32"), text("note", "a")], "output_fields": ["total"]}, True),
        ({"inputs": [numbers("x", 1.0), text("other", "a")]}, False),
        ({"inputs": [text("x", "a")]}, False),
        ({"inputs": []}, False),
        ({"inputs": [numbers("x", 1.0)], "output_fields": ["nope"]}, False),
        ({"inputs": [numbers("x", 1.0)], "model_key": "other"}, False),
        ({}, False),
    ],
)
def test_the_described_request_says_what_is_refused(body: Any, fits: bool) -> None:
    errors = list(jsonschema.Draft202012Validator(request_schema(ADD)).iter_errors(body))
    assert (not errors) is fits


def test_inputs_may_be_left_out_where_none_is_required() -> None:
    jsonschema.validate({}, request_schema(build_schema(functions.hello)))
    described = openapi.build_document(SETTINGS, build_schema(functions.hello))["paths"]["/predict"]["post"][
        "requestBody"
    ]
    assert described["required"] is False


def test_the_page_needs_nothing_from_elsewhere_and_shows_text_as_text() -> None:
    described = openapi.build_document(Settings("m:f", component="<b>"), ADD)
    page = docs_page.render(described)
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "://" not in page
    assert "<code>x</code></td><td>FP32 or FP64</td><td>what to add</td>" in page
    assert "{{" not in page


def test_a_person_is_told_where_it_listens_and_what_to_type() -> None:
    lines = format_startup_message(Settings("m:f"), ADD, 8002).splitlines()
    assert lines[0] == "mlmesh: m:f is ready on http://127.0.0.1:8002 (description: http://127.0.0.1:8002/docs)"
    start = "try: curl -s http://127.0.0.1:8002/predict -H 'content-type: application/json' -d '"
    assert lines[1].startswith(start)
    assert json.loads(lines[1][len(start) : -1])["inputs"][0]["name"] == "x"
