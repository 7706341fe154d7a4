"""What a forge's answer to a commit status means."""

from __future__ import annotations

import pytest

from services.registry.forges.status_answers import Outcome, StatusResult, judge_answer
from services.registry.forges.status_apis import STATUS_APIS

NOW = 1_800_000_000.0
ANSWERED = "GitHub answered {} to a commit status"
TRANSITION = b'{"message":"Cannot transition status via :run from :running (Reason(s): Status cannot transition)"}'


@pytest.mark.parametrize(
    ("status", "headers", "body", "result"),
    [
        (201, {}, b"", StatusResult(Outcome.SENT)),
        (204, {}, b"", StatusResult(Outcome.SENT)),
        (400, {}, TRANSITION, StatusResult(Outcome.SENT)),
        (400, {}, b'{"a":\n "b\0"}', StatusResult(Outcome.REFUSED, ANSWERED.format(400) + ': {"a": "b"}')),
        (422, {}, b"", StatusResult(Outcome.REFUSED, ANSWERED.format(422))),
        (401, {}, b"", StatusResult(Outcome.STOP, ANSWERED.format(401) + ": the token is not valid; set a new one")),
        (403, {}, b"", StatusResult(
            Outcome.STOP, ANSWERED.format(403) + ": the token may not do this; it needs commit statuses: write")),
        (404, {}, b"", StatusResult(
            Outcome.STOP,
            ANSWERED.format(404) + ": the token does not see the repository, or lacks commit statuses: write")),
        (307, {}, b"", StatusResult(
            Outcome.STOP,
            ANSWERED.format(307) + ": the repository was moved; write its new address into the Repository (url)")),
        (429, {"retry-after": "7"}, b"", StatusResult(Outcome.RETRY, ANSWERED.format(429), 7.0)),
        (503, {}, b"", StatusResult(Outcome.RETRY, ANSWERED.format(503))),
        (503, {"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}, b"",
         StatusResult(Outcome.RETRY, ANSWERED.format(503), 60.0)),
        (503, {"retry-after": "99999"}, b"", StatusResult(Outcome.RETRY, ANSWERED.format(503), 3600.0)),
        (503, {"retry-after": "soon"}, b"", StatusResult(Outcome.RETRY, ANSWERED.format(503))),
        (503, {"retry-after": "-5"}, b"", StatusResult(Outcome.RETRY, ANSWERED.format(503))),
        (403, {"retry-after": "60"}, b"", StatusResult(Outcome.RETRY, ANSWERED.format(403), 60.0)),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000030"}, b"",
         StatusResult(Outcome.RETRY, ANSWERED.format(403), 30.0)),
    ],
)  # fmt: skip
def test_an_answer(status: int, headers: dict[str, str], body: bytes, result: StatusResult) -> None:
    assert judge_answer(STATUS_APIS["github"], status, headers, body, NOW) == result
