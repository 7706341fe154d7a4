"""Messages: every released type stays readable for ever."""

from __future__ import annotations

import pytest

from libs.common.errors import Malformed
from libs.common.messages import (
    MESSAGE_TYPES,
    AccessChanged,
    FileChanged,
    Message,
    RevisionReady,
    TaskReady,
    decode_message,
    encode_message,
)

RELEASED = [
    ("task.ready.v1.cpu", b'{"task":"t1","resource_class":"cpu"}', TaskReady(task="t1")),
    ("revision.ready.v1", b'{"app":"leaf","deployment":"d1"}', RevisionReady(app="leaf", deployment="d1")),
    ("access.changed.v1", b'{"app":"leaf"}', AccessChanged(app="leaf")),
    ("file.changed.v1", b'{"app":"leaf","box":"data"}', FileChanged(app="leaf", box="data")),
]
"""A recorded sample of each released type. Add lines; never change one."""


@pytest.mark.parametrize(("key", "body", "message"), RELEASED)
def test_recorded_messages_are_still_understood(key: str, body: bytes, message: Message) -> None:
    assert decode_message(key, body) == message
    assert (message.key, encode_message(message)) == (key, body)


def test_every_type_has_a_recorded_sample() -> None:
    assert {type(message).tag for _, _, message in RELEASED} == set(MESSAGE_TYPES)


def test_a_field_of_a_later_version_is_ignored() -> None:
    assert decode_message("access.changed.v1", b'{"app":"leaf","more":1}') == AccessChanged(app="leaf")


@pytest.mark.parametrize(("key", "body"), [("none.v1", b"{}"), ("access.changed.v1", b"{}"), ("file.changed.v1", b"x")])
def test_rubbish_is_malformed(key: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        decode_message(key, body)
