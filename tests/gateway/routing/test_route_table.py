from typing import Any

import pytest

from libs.common.protocol.route_table import Api, Endpoint
from services.gateway.routing.route_table import Component, RouteTable
from tests.gateway.mesh import app_document, apply_document


def test_a_change_keeps_the_apps_that_it_does_not_name() -> None:
    first = apply_document(
        RouteTable(), {"version": 1, "full": True, "apps": {"a": app_document(1), "b": app_document(2)}}
    )
    second = apply_document(first, {"version": 2, "full": False, "apps": {"b": app_document(3)}})
    assert second.apps["a"] is first.apps["a"]
    assert second.apps["b"].components["classifier"].endpoints[0].port == 3
    assert second.version == 2


def test_a_null_document_removes_the_app() -> None:
    first = apply_document(RouteTable(), {"version": 1, "full": True, "apps": {"a": app_document(1)}})
    assert apply_document(first, {"version": 2, "full": False, "apps": {"a": None}}).apps == {}


def test_a_full_answer_removes_what_it_does_not_name() -> None:
    first = apply_document(
        RouteTable(), {"version": 1, "full": True, "apps": {"a": app_document(1), "b": app_document(2)}}
    )
    assert set(apply_document(first, {"version": 9, "full": True, "apps": {"b": app_document(2)}}).apps) == {"b"}


def test_the_kept_form_gives_the_same_table() -> None:
    first = apply_document(RouteTable(), {"version": 4, "full": False, "apps": {"a": app_document(1)}})
    assert apply_document(RouteTable(), first.to_json()) == first


@pytest.mark.parametrize(
    "bad", [7, [], "x", {"apis": [{}]}, {"apis": 7}, {"components": [1]}, {"components": {"c": {"endpoints": [{}]}}}]
)
def test_a_document_that_cannot_be_read_leaves_its_app_as_it_was_and_the_others_theirs(bad: Any) -> None:
    first = apply_document(
        RouteTable(), {"version": 1, "full": True, "apps": {"a": app_document(1), "b": app_document(2)}}
    )
    second = apply_document(first, {"version": 2, "full": True, "apps": {"a": bad, "b": app_document(3), "new": bad}})
    assert second.apps["a"] is first.apps["a"]
    assert second.apps["b"].components["classifier"].endpoints[0].port == 3
    assert (second.version, second.invalid_apps, set(second.apps)) == (2, ("a", "new"), {"a", "b"})


def test_a_document_of_the_next_release_is_read_without_its_new_fields() -> None:
    document = app_document(1)
    [endpoint] = document["components"]["classifier"]["endpoints"]
    newer = {
        **document,
        "apis": [{**api, "new": 1, "auth": {**api["auth"], "new": 1}} for api in document["apis"]],
        "components": {
            "classifier": {**document["components"]["classifier"], "new": {}, "endpoints": [{**endpoint, "new": 1}]}
        },
        "new": [],
    }
    table = apply_document(RouteTable(), {"version": 1, "apps": {"a": newer}, "new": 1})
    assert table.apps == apply_document(RouteTable(), {"version": 1, "apps": {"a": document}}).apps


def test_a_document_of_the_release_before_has_the_defaults() -> None:
    component = {"endpoints": [{"id": "t1", "host": "127.0.0.1", "port": 1}]}
    apis = [{"target": "ml", "path": "digits", "name": "classifier"}]
    app = apply_document(
        RouteTable(), {"version": 1, "apps": {"a": {"apis": apis, "components": {"classifier": component}}}}
    ).apps["a"]
    endpoint = Endpoint(id="t1", host="127.0.0.1", port=1, token="")
    assert app.components["classifier"] == Component("classifier", 30.0, 1, (), (endpoint,))
    assert app.apis == (Api("ml", "digits", "classifier"),)
