"""What a reader of logs gets: whole lines, each once, from where it resumes."""

import pytest

from libs.common.errors import Malformed
from services.scheduler.model.task import Task
from services.scheduler.runs.log_events import (
    AttemptFollower,
    LogCursor,
    RunLogFollower,
    log_event,
    parse_last_event_id,
)
from services.scheduler.runs.log_reader import CHUNK_BYTES, visible_attempts


def new_follower() -> AttemptFollower:
    return AttemptFollower(LogCursor("train", 1, 0))


def test_only_whole_lines_are_passed_on_and_the_last_one_at_the_end() -> None:
    one = new_follower()
    assert one.take_lines("é\nh".encode()) == "é\n".encode()
    assert (one.cursor.offset, one.read_offset) == (3, 4)
    assert one.take_lines("é".encode()[:1]) == b""
    assert one.take_lines("é".encode()[1:]) == b""
    assert (one.cursor.offset, one.read_offset) == (3, 6)
    assert one.take_lines(at_end=True) == "hé".encode()
    assert one.take_lines(at_end=True) == b""


def test_a_progress_bar_is_passed_on_and_an_endless_line_too() -> None:
    assert new_follower().take_lines(b"10%\r20%\r3") == b"10%\r20%\r"
    assert new_follower().take_lines(b"x" * (CHUNK_BYTES + 1)) == b"x" * (CHUNK_BYTES + 1)


def test_an_event_has_its_place_and_a_line_each() -> None:
    assert log_event(LogCursor("train", 2, 7), b"a\n\nb\r\nc\rd\n") == (
        b"id: train:2:7\nevent: log\ndata: a\ndata: \ndata: b\ndata: c\ndata: d\n\n"
    )


def test_what_came_before_the_place_is_over() -> None:
    logs = RunLogFollower(parse_last_event_id("train:1:30"))
    assert logs.follower_for("prepare", 1).finished
    assert (logs.follower_for("train", 1).finished, logs.follower_for("train", 1).read_offset) == (False, 30)
    assert (logs.follower_for("train", 2).finished, logs.follower_for("train", 2).read_offset) == (False, 0)
    assert logs.follower_for("prepare", 1).finished


@pytest.mark.parametrize(
    "identity",
    ["train", "train:1", "train:x:3", ":1:3", "train:1:-3", "words:\u00b2:0", "train:\u0661:0", "train:1:" + "9" * 16],
)
def test_an_id_that_is_not_ours_is_refused(identity: str) -> None:
    with pytest.raises(Malformed):
        parse_last_event_id(identity)


def test_an_attempt_that_began_between_two_looks_at_the_database_waits_for_the_next() -> None:
    """Beside its task as it was before, it would seem to be over, and be read no more."""
    old = Task(id="t", kind="stage", app="leaf", name="train", state="ready", created_at=0.0, attempt=1)
    assert visible_attempts([(old, 1), (old, 2)]) == [(old, 1)]
