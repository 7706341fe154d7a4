"""Packet lines as gitprotocol-common(5) has them."""

from __future__ import annotations

import pytest

from libs.common.errors import Malformed
from services.registry.hosting.packet_lines import (
    FLUSH,
    KEEP_ALIVE,
    CommandLimit,
    encode_failure,
    encode_packet,
    encode_progress,
    encode_service_header,
    replace_controls,
)

COMMAND = encode_packet(b"0" * 40 + b" " + b"1" * 40 + b" refs/heads/main")


def test_a_packet_begins_with_its_length_in_hexadecimal() -> None:
    assert encode_packet(b"a\n") == b"0006a\n"
    assert KEEP_ALIVE == b"0005\x02"
    assert encode_service_header("git-upload-pack") == b"001e# service=git-upload-pack\n0000"


def test_a_progress_line_is_one_line_of_text_without_control_characters() -> None:
    assert encode_progress("live") == b"000a\x02live\n"
    assert encode_progress("a\x1b[31m\r\nb") == encode_packet("\x02a\ufffd[31m\ufffd\ufffdb\n".encode())
    assert len(encode_progress("x" * 100_000)) < 1000
    assert encode_failure("no") == b"0008\x03no\n"
    assert replace_controls("a\ud800\u202eb") == "a\ufffd\ufffdb"


@pytest.mark.parametrize("size", [1, 3, 7, 100_000])
def test_what_comes_before_the_pack_is_counted_in_pieces_of_any_size(size: int) -> None:
    head = COMMAND * 5 + FLUSH + b"PACK" + b"\xff" * 10_000

    def count(limit: CommandLimit) -> None:
        for start in range(0, len(head), size):
            limit.check(head[start : start + size])

    count(CommandLimit(5, 5 * len(COMMAND) + len(FLUSH)))
    with pytest.raises(Malformed, match="too many branches and tags; push at most 4 at once"):
        count(CommandLimit(4, 10_000))


@pytest.mark.parametrize("rubbish", [b"", b"zz", b"zzzz", b"0001", b"-001", b"fff0" + b"a" * 100])
def test_rubbish_is_left_to_git(rubbish: bytes) -> None:
    CommandLimit(10, 1000).check(rubbish)


def test_a_long_name_counts_before_it_has_ended() -> None:
    limit = CommandLimit(10, 1000)
    with pytest.raises(Malformed):
        limit.check(b"fff0" + b"a" * 2000)
