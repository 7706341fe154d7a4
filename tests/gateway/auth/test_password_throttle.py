"""Limits of wrong passwords, with a fake clock."""

from __future__ import annotations

import pytest

from libs.common.errors import TooManyRequests
from libs.common.http.client_network import get_client_network
from services.gateway.auth.password_throttle import NETWORK_LIMIT, USER_LIMIT, PasswordThrottle
from tests.gateway.fake_clock import FakeClock


@pytest.fixture
def throttle(clock: FakeClock) -> PasswordThrottle:
    return PasswordThrottle(clock)


def use_up(throttle: PasswordThrottle, address: str = "192.0.2.1", user: str = "alice") -> None:
    for _ in range(USER_LIMIT.burst):
        throttle.count_attempt(address, "demo", user)


def test_a_user_may_be_guessed_a_few_times_and_then_slowly(throttle: PasswordThrottle, clock: FakeClock) -> None:
    use_up(throttle)
    for wait in (USER_LIMIT.refill_s, USER_LIMIT.refill_s):
        with pytest.raises(TooManyRequests) as refused:
            throttle.count_attempt("192.0.2.1", "demo", "alice")
        assert refused.value.retry_after == pytest.approx(wait)
        clock.now += wait
        throttle.count_attempt("192.0.2.1", "demo", "alice")


@pytest.mark.parametrize(
    ("address", "ns", "user"),
    [("192.0.2.1", "demo", "bob"), ("192.0.2.2", "demo", "alice"), ("192.0.2.1", "other", "alice")],
)
def test_others_are_unaffected(throttle: PasswordThrottle, address: str, ns: str, user: str) -> None:
    use_up(throttle)
    throttle.count_attempt(address, ns, user)


def test_an_address_may_guess_only_so_many_users(throttle: PasswordThrottle, clock: FakeClock) -> None:
    for number in range(NETWORK_LIMIT.burst):
        throttle.count_attempt("192.0.2.1", "demo", f"user-{number}")
    with pytest.raises(TooManyRequests, match="for different users") as refused:
        throttle.count_attempt("192.0.2.1", "demo", "another")
    assert refused.value.retry_after == pytest.approx(NETWORK_LIMIT.refill_s)
    throttle.count_attempt("192.0.2.2", "demo", "another")


def test_a_right_password_makes_the_user_free_again(throttle: PasswordThrottle) -> None:
    use_up(throttle)
    throttle.refund_attempt("192.0.2.1", "demo", "alice")
    use_up(throttle)


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "", True),
        ("unix", "other", False),
    ],
)
def test_what_one_caller_has_of_addresses_counts_together(
    throttle: PasswordThrottle, address: str, other: str, same: bool
) -> None:
    use_up(throttle, address)
    if same:
        with pytest.raises(TooManyRequests):
            throttle.count_attempt(other, "demo", "alice")
    else:
        throttle.count_attempt(other, "demo", "alice")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:0db8:0:0:ffff::2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("x" * 100, "x" * 64),
        ("", ""),
    ],
)
def test_what_one_caller_has_of_addresses(address: str, network: str) -> None:
    assert get_client_network(address) == network
