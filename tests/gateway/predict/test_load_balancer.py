"""Choice of an instance, ejection of failed ones, and limits of concurrency."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from libs.common.errors import TooManyRequests
from libs.common.protocol.route_table import Endpoint
from services.gateway.predict import load_balancer
from services.gateway.predict.load_balancer import Caller, InstancePicker, LoadBalancer
from services.gateway.routing.route_table import Component

CALLER = ("app", "alice")


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(load_balancer, "time", clock)
    return clock


def build_component(*names: str, concurrency: int = 1) -> Component:
    endpoints = tuple(Endpoint(id=name, host="127.0.0.1", port=1) for name in names)
    return Component("c", 30.0, concurrency, (), endpoints)


def list_picks(balancer: LoadBalancer, component: Component) -> list[str]:
    picker = balancer.admit_call(component, CALLER)
    return [endpoint.id for endpoint in iter(picker.pick_next, None)]


def pick_first(balancer: LoadBalancer, component: Component, first: str, caller: Caller = CALLER) -> InstancePicker:
    picker = balancer.admit_call(component, caller)
    chosen = picker.pick_next()
    assert chosen is not None
    assert chosen.id == first
    return picker


def test_the_least_busy_is_first_and_each_is_tried_once(clock: Clock) -> None:
    balancer, component = LoadBalancer(), build_component("a", "b", "c")
    picker = pick_first(balancer, component, "a")
    assert list_picks(balancer, component) == ["b", "c", "a"]
    picker.release_instance()
    assert list_picks(balancer, component) == ["a", "b", "c"]


def test_one_that_failed_is_tried_last_until_it_has_rested(clock: Clock) -> None:
    balancer, component = LoadBalancer(), build_component("a", "b")
    for ejection in (1.0, 2.0, 4.0):
        picker = pick_first(balancer, component, "a")
        picker.record_failure()
        picker.release_instance()
        clock.now += ejection - 0.1
        assert list_picks(balancer, component) == ["b", "a"]
        clock.now += 0.2
        assert list_picks(balancer, component) == ["a", "b"]
    picker = pick_first(balancer, component, "a")
    picker.record_success()
    picker.record_failure()
    picker.release_instance()
    clock.now += 1.1
    assert list_picks(balancer, component)[0] == "a"


def test_an_ejection_and_the_return_are_one_log_line_each(clock: Clock) -> None:
    balancer, component = LoadBalancer(), build_component("a")
    with capture_logs() as lines:
        for picker in [pick_first(balancer, component, "a") for _ in range(3)]:
            picker.record_failure()
            picker.close()
        for _ in range(2):
            picker = pick_first(balancer, component, "a")
            picker.record_success()
            picker.close()
    instance = {"app": "app", "component": "c", "instance": "a", "log_level": "warning", "logger_name": "gateway"}
    assert lines == [
        {"event": "Instance ejected from load balancing", "seconds": 1.0, "failures": 1, **instance},
        {"event": "Instance returned to load balancing", **instance},
    ]


def test_too_many_calls_are_refused_with_the_time_that_those_before_them_need(clock: Clock) -> None:
    balancer, component = LoadBalancer(), build_component("a", concurrency=2)
    with ExitStack() as calls:
        picker = pick_first(balancer, component, "a")
        clock.now += 0.5
        picker.record_success()
        picker.release_instance()
        for number in range(24):
            calls.enter_context(closing(pick_first(balancer, component, "a", ("app", str(number)))))
        with pytest.raises(TooManyRequests) as refused:
            balancer.admit_call(component, CALLER)
    assert refused.value.retry_after == pytest.approx(6.0)  # 24 calls of half a second, two at a time
    assert list_picks(balancer, component) == ["a"]


@pytest.mark.parametrize(
    ("concurrency", "is_web_app", "caller_limit", "places"),
    [(1, False, 11, 12), (8, False, 88, 96), (1, True, 1, 1), (2, True, 1, 2), (100, True, 90, 100)],
)
def test_nobody_takes_all_places(
    clock: Clock, concurrency: int, is_web_app: bool, caller_limit: int, places: int
) -> None:
    balancer, component = LoadBalancer(), replace(build_component("a", concurrency=concurrency), is_web_app=is_web_app)
    pickers: list[InstancePicker] = []
    for _ in range(caller_limit):
        pickers.append(balancer.admit_call(component, CALLER))
        pickers[-1].pick_next()
    with pytest.raises(TooManyRequests):
        balancer.admit_call(component, CALLER)
    for number in range(places - caller_limit):
        balancer.admit_call(component, ("app", f"other {number}")).pick_next()
    with pytest.raises(TooManyRequests):
        balancer.admit_call(component, ("app", "late"))
    pickers.pop().close()
    balancer.admit_call(component, CALLER).pick_next()


def test_nothing_is_remembered_of_callers_who_have_no_places(clock: Clock) -> None:
    balancer, component = LoadBalancer(), build_component("a")
    picker = balancer.admit_call(component, CALLER)
    picker.pick_next()
    picker.close()
    assert not balancer._in_flight
