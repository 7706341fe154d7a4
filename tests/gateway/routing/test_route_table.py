from typing import Any

import pytest

from services.gateway.routing.route_table import RouteTable, apply_delta
from tests.gateway.mesh import app_document


def test_a_change_keeps_the_apps_that_it_does_not_name() -> None:
    first = apply_delta(
        RouteTable(), {"version": 1, "full": True, "apps": {"a": app_document(1), "b": app_document(2)}}
    )
    second = apply_delta(first, {"version": 2, "full": False, "apps": {"b": app_document(3)}})
    assert second.apps["a"] is first.apps["a"]
    assert second.apps["b"].components["classifier"].endpoints[0].port == 3
    assert second.version == 2


def test_a_null_document_removes_the_app() -> None:
    first = apply_delta(RouteTable(), {"version": 1, "full": True, "apps": {"a": app_document(1)}})
    assert apply_delta(first, {"version": 2, "full": False, "apps": {"a": None}}).apps == {}


def test_a_full_answer_removes_what_it_does_not_name() -> None:
    first = apply_delta(
        RouteTable(), {"version": 1, "full": True, "apps": {"a": app_document(1), "b": app_document(2)}}
    )
    assert set(apply_delta(first, {"version": 9, "full": True, "apps": {"b": app_document(2)}}).apps) == {"b"}


def test_the_kept_form_gives_the_same_table() -> None:
    first = apply_delta(RouteTable(), {"version": 4, "full": False, "apps": {"a": app_document(1)}})
    assert apply_delta(RouteTable(), first.to_json()) == first


@pytest.mark.parametrize(
    "bad", [7, [], "x", {"apis": [{}]}, {"apis": 7}, {"components": [1]}, {"components": {"c": {"endpoints": [{}]}}}]
)
def test_a_document_that_cannot_be_read_leaves_its_app_as_it_was_and_the_others_theirs(bad: Any) -> None:
    first = apply_delta(
        RouteTable(), {"version": 1, "full": True, "apps": {"a": app_document(1), "b": app_document(2)}}
    )
    second = apply_delta(first, {"version": 2, "full": True, "apps": {"a": bad, "b": app_document(3), "new": bad}})
    assert second.apps["a"] is first.apps["a"]
    assert second.apps["b"].components["classifier"].endpoints[0].port == 3
    assert (second.version, second.invalid_apps, set(second.apps)) == (2, ("a", "new"), {"a", "b"})
