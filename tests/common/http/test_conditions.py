from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Malformed, PreconditionFailed
from libs.common.http.conditions import Conditions, Version

AT = 1_700_000_000.7
BEFORE, SAME, AFTER = (
    "Tue, 14 Nov 2023 22:13:19 GMT", "Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:21 GMT",
)  # fmt: skip
NOW = Version("e", AT)
GOOD, FAILED, KNOWN = "good", "failed", "known"


def judged(headers: dict[str, str], now: Version | None) -> str:
    """What a GET makes of it; a change is refused for either reason."""
    found = Conditions.from_headers(headers)
    return FAILED if found.is_other_version(now) else KNOWN if found.is_known_version(now) else GOOD


@pytest.mark.parametrize(
    ("headers", "there", "nothing"),
    [
        ({}, GOOD, GOOD),
        ({"if-match": "*"}, GOOD, FAILED),
        ({"if-match": '"e"'}, GOOD, FAILED),
        ({"if-match": 'W/"e"'}, FAILED, FAILED),
        ({"if-match": '"a"'}, FAILED, FAILED),
        ({"if-match": '"a", "e"'}, GOOD, FAILED),
        ({"if-match": '"a",,"e" ,'}, GOOD, FAILED),
        ({"if-match": '"a,e"'}, FAILED, FAILED),
        ({"if-none-match": "*"}, KNOWN, GOOD),
        ({"if-none-match": '"e"'}, KNOWN, GOOD),
        ({"if-none-match": 'W/"e"'}, KNOWN, GOOD),
        ({"if-none-match": '"a", W/"e"'}, KNOWN, GOOD),
        ({"if-none-match": '"a"'}, GOOD, GOOD),
        ({"if-unmodified-since": BEFORE}, FAILED, GOOD),
        ({"if-unmodified-since": SAME}, GOOD, GOOD),
        ({"if-unmodified-since": AFTER}, GOOD, GOOD),
        ({"if-unmodified-since": "yesterday"}, GOOD, GOOD),
        ({"if-modified-since": BEFORE}, GOOD, GOOD),
        ({"if-modified-since": SAME}, KNOWN, GOOD),
        ({"if-modified-since": "yesterday"}, GOOD, GOOD),
        # the order of RFC 9110, 13.2.2
        ({"if-match": '"e"', "if-unmodified-since": BEFORE}, GOOD, FAILED),
        ({"if-match": '"a"', "if-unmodified-since": AFTER}, FAILED, FAILED),
        ({"if-match": '"e"', "if-none-match": '"e"'}, KNOWN, FAILED),
        ({"if-match": '"a"', "if-none-match": '"e"'}, FAILED, FAILED),
        ({"if-unmodified-since": BEFORE, "if-none-match": '"e"'}, FAILED, GOOD),
        ({"if-none-match": '"a"', "if-modified-since": SAME}, GOOD, GOOD),
        ({"if-none-match": '"e"', "if-modified-since": BEFORE}, KNOWN, GOOD),
    ],
)
def test_conditions_are_judged_in_the_order_of_the_standard(headers: dict[str, str], there: str, nothing: str) -> None:
    assert (judged(headers, NOW), judged(headers, None)) == (there, nothing)


@pytest.mark.parametrize("name", ["if-match", "if-none-match"])
@pytest.mark.parametrize("given", ["", "e", "'e'", '"e', '"a" "e"', '*, "e"', 'w/"e"', '"\x00"', "**"])
def test_what_is_no_list_of_tags_is_malformed(name: str, given: str) -> None:
    with pytest.raises(Malformed, match=r"write \* or entity tags in quotes"):
        Conditions.from_headers({name: given})


def test_a_change_is_not_held_up_by_a_date_for_reading() -> None:
    Conditions.from_headers({"if-modified-since": SAME}).check_write(NOW)
    with pytest.raises(PreconditionFailed):
        Conditions.from_headers({"if-none-match": "*"}).check_write(NOW)


@given(st.text(), st.sampled_from(["if-match", "if-none-match", "if-unmodified-since", "if-modified-since"]))
def test_any_text_is_a_condition_or_malformed(text: str, name: str) -> None:
    with suppress(Malformed):
        Conditions.from_headers({name: text}).is_other_version(NOW)
