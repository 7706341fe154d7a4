"""Which instance is chosen, and when there are too many calls."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from libs.common.errors import TooManyRequests
from services.gateway.predict import load_balancer
from services.gateway.predict.load_balancer import Balance, Caller, Turn
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


def order(found: Balance, of: Component) -> list[str]:
    turn = found.turn(of, CALLER)
    return [one.id for one in iter(turn.next, None)]


def picked(found: Balance, of: Component, first: str, caller: Caller = CALLER) -> Turn:
    turn = found.turn(of, caller)
    chosen = turn.next()
    assert chosen is not None
    assert chosen.id == first
    return turn


def test_the_least_busy_is_first_and_each_is_tried_once(clock: Clock) -> None:
    found, of = Balance(), component("a", "b", "c")
    turn = picked(found, of, "a")
    assert order(found, of) == ["b", "c", "a"]
    turn.close()
    assert order(found, of) == ["a", "b", "c"]


def test_one_that_failed_is_tried_last_until_it_has_rested(clock: Clock) -> None:
    found, of = Balance(), component("a", "b")
    for rest in (1.0, 2.0, 4.0):
        turn = picked(found, of, "a")
        turn.failed()
        turn.close()
        clock.now += rest - 0.1
        assert order(found, of) == ["b", "a"]
        clock.now += 0.2
        assert order(found, of) == ["a", "b"]
    turn = picked(found, of, "a")
    turn.answered()
    turn.failed()
    turn.close()
    clock.now += 1.1
    assert order(found, of)[0] == "a"


def test_too_many_calls_are_refused_with_the_time_that_those_before_them_need(clock: Clock) -> None:
    found, of = Balance(), component("a", concurrency=2)
    with ExitStack() as calls:
        turn = picked(found, of, "a")
        clock.now += 0.5
        turn.answered()
        turn.close()
        for number in range(24):
            calls.enter_context(closing(picked(found, of, "a", ("app", str(number)))))
        with pytest.raises(TooManyRequests) as refused:
            found.turn(of, CALLER)
    assert refused.value.retry_after == pytest.approx(6.0)  # 24 calls of half a second, two at a time
    assert order(found, of) == ["a"]


@pytest.mark.parametrize(
    ("concurrency", "own_routes", "theirs", "places"),
    [(1, False, 11, 12), (8, False, 88, 96), (1, True, 1, 1), (2, True, 1, 2), (100, True, 90, 100)],
)
def test_nobody_takes_all_places(clock: Clock, concurrency: int, own_routes: bool, theirs: int, places: int) -> None:
    found, of = Balance(), replace(component("a", concurrency=concurrency), own_routes=own_routes)
    taken: list[Turn] = []
    for _ in range(theirs):
        taken.append(found.turn(of, CALLER))
        taken[-1].next()
    with pytest.raises(TooManyRequests):
        found.turn(of, CALLER)
    for number in range(places - theirs):
        found.turn(of, ("app", f"other {number}")).next()
    with pytest.raises(TooManyRequests):
        found.turn(of, ("app", "late"))
    taken.pop().end()
    found.turn(of, CALLER).next()


def test_nothing_is_remembered_of_callers_who_have_no_places(clock: Clock) -> None:
    found, of = Balance(), component("a")
    turn = found.turn(of, CALLER)
    turn.next()
    turn.end()
    assert not found._held
