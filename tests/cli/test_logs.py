from __future__ import annotations

from services.cli.logs import parse_events


def test_events_are_their_data_and_nothing_else() -> None:
    stream = [
        b"id: train:1:0\n",
        b"data: one\n",
        b"data: two\n",
        b"\n",
        b": still there\n",
        b"\n",
        b"data:three\r\n",
        b"\r\n",
    ]
    assert list(parse_events(stream)) == [b"one\ntwo\n", b"three\n"]


def test_an_event_that_was_cut_is_not_shown() -> None:
    assert list(parse_events([b"data: one\n"])) == []
