"""Which instance is chosen, and when there are too many calls."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from libs.common.errors import TooManyRequests
from services.gateway.predict import load_balancer
from services.gateway.predict.load_balancer import Caller, InstancePicker, LoadBalancer
from services.gateway.routing.route_table import Component, Endpoint

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


def component(*names: str, concurrency: int = 1) -> Component:
    endpoints = tuple(Endpoint(name, "127.0.0.1", 1, "") for name in names)
    return Component("c", 30.0, concurrency, (), endpoints)


def order(found: LoadBalancer, of: Component) -> list[str]:
    turn = found.admit_call(of, CALLER)
    return [one.id for one in iter(turn.pick_next, None)]


def picked(found: LoadBalancer, of: Component, first: str, caller: Caller = CALLER) -> InstancePicker:
    turn = found.admit_call(of, caller)
    chosen = turn.pick_next()
    assert chosen is not None
    assert chosen.id == first
    return turn


def test_the_least_busy_is_first_and_each_is_tried_once(clock: Clock) -> None:
    found, of = LoadBalancer(), component("a", "b", "c")
    turn = picked(found, of, "a")
    assert order(found, of) == ["b", "c", "a"]
    turn.release_instance()
    assert order(found, of) == ["a", "b", "c"]


def test_one_that_failed_is_tried_last_until_it_has_rested(clock: Clock) -> None:
    found, of = LoadBalancer(), component("a", "b")
    for rest in (1.0, 2.0, 4.0):
        turn = picked(found, of, "a")
        turn.record_failure()
        turn.release_instance()
        clock.now += rest - 0.1
        assert order(found, of) == ["b", "a"]
        clock.now += 0.2
        assert order(found, of) == ["a", "b"]
    turn = picked(found, of, "a")
    turn.record_success()
    turn.record_failure()
    turn.release_instance()
    clock.now += 1.1
    assert order(found, of)[0] == "a"


def test_too_many_calls_are_refused_with_the_time_that_those_before_them_need(clock: Clock) -> None:
    found, of = LoadBalancer(), component("a", concurrency=2)
    with ExitStack() as calls:
        turn = picked(found, of, "a")
        clock.now += 0.5
        turn.record_success()
        turn.release_instance()
        for number in range(24):
            calls.enter_context(closing(picked(found, of, "a", ("app", str(number)))))
        with pytest.raises(TooManyRequests) as refused:
            found.admit_call(of, CALLER)
    assert refused.value.retry_after == pytest.approx(6.0)  # 24 calls of half a second, two at a time
    assert order(found, of) == ["a"]


@pytest.mark.parametrize(
    ("concurrency", "is_web_app", "theirs", "places"),
    [(1, False, 11, 12), (8, False, 88, 96), (1, True, 1, 1), (2, True, 1, 2), (100, True, 90, 100)],
)
def test_nobody_takes_all_places(clock: Clock, concurrency: int, is_web_app: bool, theirs: int, places: int) -> None:
    found, of = LoadBalancer(), replace(component("a", concurrency=concurrency), is_web_app=is_web_app)
    taken: list[InstancePicker] = []
    for _ in range(theirs):
        taken.append(found.admit_call(of, CALLER))
        taken[-1].pick_next()
    with pytest.raises(TooManyRequests):
        found.admit_call(of, CALLER)
    for number in range(places - theirs):
        found.admit_call(of, ("app", f"other {number}")).pick_next()
    with pytest.raises(TooManyRequests):
        found.admit_call(of, ("app", "late"))
    taken.pop().close()
    found.admit_call(of, CALLER).pick_next()


def test_nothing_is_remembered_of_callers_who_have_no_places(clock: Clock) -> None:
    found, of = LoadBalancer(), component("a")
    turn = found.admit_call(of, CALLER)
    turn.pick_next()
    turn.close()
    assert not found._in_flight
