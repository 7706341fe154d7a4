"""Packet lines as gitprotocol-common(5) has them."""

from __future__ import annotations

from services.registry.hosting.packet_lines import KEEP_ALIVE, encode_packet, encode_progress, encode_service_header


def test_a_packet_begins_with_its_length_in_hexadecimal() -> None:
    assert encode_packet(b"a\n") == b"0006a\n"
    assert KEEP_ALIVE == b"0005\x02"
    assert encode_service_header("git-upload-pack") == b"001e# service=git-upload-pack\n0000"


def test_a_progress_line_is_one_line_of_text_without_control_characters() -> None:
    assert encode_progress("live") == b"000a\x02live\n"
    assert encode_progress("a\x1b[31m\r\nb") == encode_packet("\x02a\ufffd[31m\ufffd\ufffdb\n".encode())
    assert len(encode_progress("x" * 100_000)) < 1000
