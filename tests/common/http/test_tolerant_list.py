"""One bad entry never makes the rest of a message refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import BaseModel, Field, ValidationError

from libs.common.http.tolerant_list import StorableObject, TolerantList, TolerantMap


class One(BaseModel):
    task: str
    progress: list[int] | None = None
    found: StorableObject | None = None


class Said(BaseModel):
    each: TolerantList[One] = ()


GOOD = {"task": "good", "progress": [1, 2], "found": {"a": 1}}
DEEP: Any = {}
for _ in range(400):
    DEEP = {"a": DEEP}

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
)
ENTRY = JSON | some.dictionaries(some.sampled_from(["task", "progress", "found"]), JSON)


@given(some.lists(ENTRY, max_size=5), some.integers(0, 5))
def test_a_good_entry_is_taken_whatever_is_beside_it(others: list[Any], place: int) -> None:
    beside = [*others[:place], GOOD, *others[place:]]
    assert One.model_validate(GOOD) in Said.model_validate({"each": beside}).each


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        ({"task": "t", "found": [1]}, {"task": "t"}),
        ({"task": "t", "found": {"a": 1 << 70}}, {"task": "t"}),
        ({"task": "t", "found": DEEP}, {"task": "t"}),
        ({"task": "t", "found": 1, "progress": "x"}, {"task": "t"}),
        ({"task": "t", "found": {}, "progress": [1, "x"]}, {"task": "t", "found": {}}),
    ],
)
def test_of_an_entry_the_optional_fields_that_cannot_be_taken_are_left_out(entry: Any, left: Any) -> None:
    found = Said.model_validate({"each": [GOOD, entry]}).each
    assert found == (One.model_validate(GOOD), One.model_validate(left))
    orjson.dumps([one.model_dump() for one in found])


@pytest.mark.parametrize("entry", [1, None, "x", [], {}, {"task": 1}, {"found": {}}])
def test_an_entry_without_what_it_needs_is_left_out(entry: Any) -> None:
    assert Said.model_validate({"each": [entry, GOOD, entry]}).each == (One.model_validate(GOOD),)


@pytest.mark.parametrize("given", [1, "x", {"task": "t"}, None])
def test_what_is_no_list_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        Said.model_validate({"each": given})


class Apps(BaseModel):
    apps: TolerantMap[One | None] = Field(default_factory=dict)


@given(some.dictionaries(some.text(), ENTRY, max_size=5))
def test_a_good_value_of_a_map_is_taken_whatever_is_beside_it(others: dict[str, Any]) -> None:
    apps = Apps.model_validate({"apps": {**others, "good": GOOD, "deleted": None}}).apps
    assert (apps["good"], apps["deleted"]) == (One.model_validate(GOOD), None)


def test_a_value_of_a_map_with_a_bad_optional_field_is_dropped() -> None:
    assert Apps.model_validate({"apps": {"bad": {**GOOD, "progress": "x"}, "good": GOOD}}).apps.keys() == {"good"}


def test_a_map_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        Apps.model_validate({"apps": [GOOD]})
