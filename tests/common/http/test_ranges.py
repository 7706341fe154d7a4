from __future__ import annotations

import pytest

from libs.common.http.ranges import RangeDecision, Span, decide_range

WHOLE = RangeDecision(200, Span(0, 10))


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, WHOLE),
        ({"range": "bytes=0-0"}, RangeDecision(206, Span(0, 1))),
        ({"range": "bytes=2-5"}, RangeDecision(206, Span(2, 6))),
        ({"range": "bytes=5-"}, RangeDecision(206, Span(5, 10))),
        ({"range": "bytes=5-99"}, RangeDecision(206, Span(5, 10))),
        ({"range": "bytes=-3"}, RangeDecision(206, Span(7, 10))),
        ({"range": "bytes=-99"}, RangeDecision(206, Span(0, 10))),
        ({"range": "bytes=10-"}, RangeDecision(416, Span(0, 0))),
        ({"range": "bytes=-0"}, RangeDecision(416, Span(0, 0))),
        ({"range": "bytes=5-2"}, WHOLE),
        ({"range": "bytes=-"}, WHOLE),
        ({"range": "bytes=0-1,3-4"}, WHOLE),
        ({"range": "lines=0-1"}, WHOLE),
        ({"range": "bytes=" + "9" * 30 + "-"}, WHOLE),
        ({"range": "bytes=0-0", "if-range": '"e"'}, RangeDecision(206, Span(0, 1))),
        ({"range": "bytes=0-0", "if-range": '"other"'}, WHOLE),
        ({"range": "bytes=0-0", "if-range": 'W/"e"'}, WHOLE),
        ({"range": "bytes=0-0", "if-range": "Sat, 01 Jan 2000 00:00:00 GMT"}, WHOLE),
        ({"if-none-match": '"e"'}, RangeDecision(304, Span(0, 0))),
        ({"if-none-match": 'W/"e"'}, RangeDecision(304, Span(0, 0))),
        ({"if-none-match": '"a", "e"'}, RangeDecision(304, Span(0, 0))),
        ({"if-none-match": "*"}, RangeDecision(304, Span(0, 0))),
        ({"if-none-match": '"a"'}, WHOLE),
        ({"if-none-match": '"e"', "range": "bytes=0-0"}, RangeDecision(304, Span(0, 0))),
    ],
)
def test_headers_decide_what_is_sent(headers: dict[str, str], found: RangeDecision) -> None:
    assert decide_range(headers, "e", 10) == found


def test_an_empty_file_has_no_parts() -> None:
    assert decide_range({}, "e", 0) == RangeDecision(200, Span(0, 0))
    assert decide_range({"range": "bytes=0-"}, "e", 0).status == 416
