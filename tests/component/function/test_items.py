from __future__ import annotations

from typing import Any

import pytest
from mlmesh_component.function.items import find_fault


@pytest.mark.parametrize(
    "item",
    [
        {"datatype": "FP32", "data": [1, 2.5]},
        {"datatype": "FP64", "data": []},
        {"datatype": "FP64", "data": [1.0, 2.0], "shape": [2]},
        {"datatype": "FP64", "data": [1.0, 2.0], "shape": [1, 2]},
        {"datatype": "FP64", "data": [1.0], "shape": []},
        {"datatype": "FP64", "data": [1.0, 2.0], "shape": 7},
        {"datatype": "FP64", "data": [1.0, 2.0], "shape": None},
        {"datatype": "INT32", "data": [-(2**31), 2**31 - 1]},
        {"datatype": "INT64", "data": [-(2**63), 2**63 - 1]},
        {"datatype": "BOOL", "data": [True, False]},
        {"datatype": "str", "data": "", "content_type": "text/plain"},
        {"datatype": "dict", "data": {"a": [1]}},
        {"datatype": "FILE", "data": "group/file"},
    ],
)
def test_a_well_formed_item_has_no_fault(item: dict[str, Any]) -> None:
    assert find_fault(item) is None


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "datatype must be one of FP32, FP64, INT32, INT64, BOOL, str, dict, FILE"),
        ({"datatype": 5, "data": []}, "datatype must be one of FP32, FP64, INT32, INT64, BOOL, str, dict, FILE"),
        ({"datatype": "fp32", "data": []}, "datatype must be one of FP32, FP64, INT32, INT64, BOOL, str, dict, FILE"),
        ({"datatype": "FP32"}, "data is missing"),
        ({"datatype": "FP32", "data": 1.0}, "data must be a list of numbers"),
        ({"datatype": "FP32", "data": ["1"]}, "data must be a one-dimensional list of numbers"),
        ({"datatype": "FP32", "data": [[1.0]]}, "data must be a one-dimensional list of numbers"),
        ({"datatype": "FP64", "data": [True]}, "data must be a one-dimensional list of numbers"),
        ({"datatype": "FP64", "data": [None]}, "data must be a one-dimensional list of numbers"),
        ({"datatype": "INT32", "data": [1.0]}, "data must be a one-dimensional list of whole numbers"),
        ({"datatype": "INT32", "data": [2**31]}, "data has a number that does not fit into INT32"),
        ({"datatype": "INT64", "data": [2.0**64]}, "data has a number that does not fit into INT64"),
        ({"datatype": "INT64", "data": [-(2**63) - 1]}, "data has a number that does not fit into INT64"),
        ({"datatype": "BOOL", "data": [1]}, "data must be a one-dimensional list of true or false"),
        ({"datatype": "FP64", "data": [1.0], "shape": [2]}, "shape [2] holds 2 values, but data has 1"),
        ({"datatype": "FP64", "data": [1.0], "shape": [-1]}, "shape must be a list of whole numbers from 0"),
        ({"datatype": "FP64", "data": [1.0], "shape": [True]}, "shape must be a list of whole numbers from 0"),
        ({"datatype": "FP64", "data": [1.0], "shape": "1"}, "shape must be a list of whole numbers"),
        ({"datatype": "str", "data": ["a"]}, "data must be a string"),
        ({"datatype": "dict", "data": []}, "data must be an object"),
        ({"datatype": "FILE", "data": {}}, "data must be a string"),
        ({"datatype": "str", "data": "", "content_type": 1}, "content_type must be a string"),
    ],
)
def test_a_fault_says_what_is_wrong(item: dict[str, Any], message: str) -> None:
    assert find_fault(item) == message
