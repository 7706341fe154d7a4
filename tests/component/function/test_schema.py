from __future__ import annotations

from typing import Any

import pytest
from mlmesh_component.function.schema import Field, FieldType, Schema, validate_request
from mlmesh_component.problems import Invalid

from tests.component.serving import numbers, text

SCHEMA = Schema(
    inputs=(Field("x", FieldType(("FP32", "FP64"))), Field("note", FieldType(("str",)), required=False)),
    outputs=(Field("y"), Field("z")),
    is_open=False,
)
X = numbers("x", 1.0)


def errors(body: Any, schema: Schema = SCHEMA) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        validate_request(body, schema)
    return [(error["input"], error["message"]) for error in refused.value.members["errors"]]


def test_a_request_that_fits_is_passed_on() -> None:
    inputs = validate_request(
        {"inputs": [X], "parameters": [1], "output_fields": ["z", "y", "z"], "model_key": "default"}, SCHEMA
    )
    assert (inputs.items, inputs.parameters, inputs.output_fields, inputs.has_files) == ([X], [1], ("z", "y"), False)


def test_what_is_left_out_is_empty() -> None:
    inputs = validate_request({"inputs": [X], "parameters": None, "output_fields": None, "model_key": None}, SCHEMA)
    assert (inputs.parameters, inputs.output_fields) == ([], ())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], [("body", "must be an object with inputs")]),
        ({}, [("inputs", "is missing")]),
        ({"inputs": {}}, [("inputs", "must be a list of items")]),
        ({"inputs": []}, [("x", "is missing")]),
        ({"inputs": [5]}, [("inputs[0]", "must be an item with a name"), ("x", "is missing")]),
        ({"inputs": [X, {"datatype": "str"}]}, [("inputs[1]", "must be an item with a name")]),
        ({"inputs": [X, X]}, [("x", "is given twice")]),
        ({"inputs": [X, text("nope", "")]}, [("nope", "is not an input of this function")]),
        ({"inputs": [numbers("x", 1, datatype="INT32")]}, [("x", "datatype must be FP32 or FP64, not 'INT32'")]),
        ({"inputs": [{"name": "x", "data": [1]}]}, [("x", "datatype must be FP32 or FP64, not None")]),
        ({"inputs": [numbers("x", 1.0, shape=[3])]}, [("x", "shape [3] holds 3 values, but data has 1")]),
        ({"inputs": [X, {"name": "note", "datatype": "str", "data": 1}]}, [("note", "data must be a string")]),
        ({"inputs": [X], "model_key": "other"}, [("model_key", "must be 'default', there is no other model")]),
        ({"inputs": [X], "output_fields": ["y", "q"]}, [("output_fields", "there is no output 'q'")]),
        ({"inputs": [X], "output_fields": "y"}, [("output_fields", "must be a list")]),
        (
            {"inputs": [X], "output_fields": [1]},
            [("output_fields", "must be a list of names, or of objects with a name")],
        ),
        ({"inputs": [X], "parameters": {}}, [("parameters", "must be a list")]),
        (
            {"inputs": [text("a", ""), text("b", "")]},
            [
                ("a", "is not an input of this function"),
                ("b", "is not an input of this function"),
                ("x", "is missing"),
            ],
        ),
    ],
)
def test_everything_that_does_not_fit_is_named(body: Any, expected: list[tuple[str, str]]) -> None:
    assert errors(body) == expected


def test_an_open_schema_takes_any_well_formed_item() -> None:
    assert validate_request({"inputs": [text("whatever", "x")]}, Schema()).items == [text("whatever", "x")]
    assert errors({"inputs": [numbers("x", datatype="FP16")]}, Schema())[0][0] == "x"


def test_files_are_noticed() -> None:
    assert validate_request({"inputs": [{"name": "f", "datatype": "FILE", "data": "a/b"}]}, Schema()).has_files
