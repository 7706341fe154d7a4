from typing import Any

import pytest

from libs.common.manifests import KINDS, json_schema
from services.registry.checks.field_changes import DURATIONS, MAX_VALUE, SIZES, FieldChange, compare_fields, cut_text

LONG = "x" * 1000


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", "1", "2")]),
        ({"a": None}, {"a": "x"}, [("a", None, "x")]),
        ({"a": True}, {}, [("a", "true", None)]),
        ({"s": {"b": {"c": "x", "d": 1}}}, {"s": {"b": {"c": "y", "d": 1}}}, [("s.b.c", "x", "y")]),
        ({"s": None}, {"s": {"min": 0, "max": None}}, [("s", None, '{"min": 0}')]),
        ({"memory": 2**30}, {"memory": 2**31}, [("memory", "1Gi", "2Gi")]),
        ({"r": {"memory": 10**9, "cpu": 0.5}}, {"r": None}, [("r", '{"memory": "1G", "cpu": 0.5}', None)]),
        ({"timeout": 30.0}, {"timeout": 5400.0}, [("timeout", "30s", "1h30m")]),
        ({"a": ["x", "y"]}, {"a": ["x"]}, [("a", '["x", "y"]', '["x"]')]),
        ({"a": []}, {"a": [{"name": "n"}]}, [("a[n]", None, "{}")]),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "C", "value": "3"}, {"name": "B", "value": "4"}]},
            [("env[A]", '{"value": "1"}', None), ("env[B].value", "2", "4"), ("env[C]", None, '{"value": "3"}')],
        ),
        (
            {"stages": [{"name": "a"}, {"name": "b"}]},
            {"stages": [{"name": "b"}, {"name": "c"}, {"name": "a"}]},
            [("stages[c]", None, "{}"), ("stages (order)", '["a", "b"]', '["b", "a"]')],
        ),
        (
            {"l": [{"name": "a"}, {"name": "a"}]},
            {"l": [{"name": "a"}]},
            [("l", '[{"name": "a"}, {"name": "a"}]', '[{"name": "a"}]')],
        ),
        (
            {"envFrom": [{"secretRef": {"name": "x"}, "configMapRef": None}]},
            {"envFrom": []},
            [("envFrom", '[{"secretRef": {"name": "x"}}]', "[]")],
        ),
        ({"a": "b"}, {"a": {"name": "b"}}, [("a", "b", '{"name": "b"}')]),
        ({"a": LONG}, {"a": LONG + "y"}, [("a", "…" + "x" * 40, "…" + "x" * 40 + "y")]),
        ({"a": LONG}, {"a": "z"}, [("a", "x" * MAX_VALUE + "…", "z")]),
    ],
)  # fmt: skip
def test_changes_are_told_field_by_field(
    before: Any, after: Any, changes: list[tuple[str, str | None, str | None]]
) -> None:
    assert list(compare_fields(before, after)) == [FieldChange(*change) for change in changes]


@pytest.mark.parametrize(
    ("text", "start", "shown"),
    [
        ("short", 3, "short"),
        ("a" * MAX_VALUE, 100, "a" * MAX_VALUE),
        ("a" * 1000, 0, "a" * MAX_VALUE + "…"),
        ("a" * 500 + "b" * 500, 500, "…" + "a" * 40 + "b" * (MAX_VALUE - 40) + "…"),
    ],
)
def test_a_long_value_is_cut_around_its_first_difference(text: str, start: int, shown: str) -> None:
    assert cut_text(text, start) == shown


def test_every_size_and_duration_of_a_manifest_is_written_as_one_writes_it() -> None:
    """A field that takes a number or a text such as 512Mi is one of them, or a number of cores."""
    found = {name for kind in KINDS for name in list_quantities(json_schema(kind))}
    assert found - {"cpu", "pollInterval"} == SIZES | DURATIONS


def list_quantities(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {name for item in schema for name in list_quantities(item)}
    if not isinstance(schema, dict):
        return set()
    quantities = {name for name, field in schema.get("properties", {}).items() if takes_number_or_text(field)}
    return quantities | {name for value in schema.values() for name in list_quantities(value)}


def takes_number_or_text(field: Any) -> bool:
    types = {choice.get("type") for choice in field.get("anyOf", ())} if isinstance(field, dict) else set()
    return "string" in types and bool(types & {"number", "integer"})
