"""Values of Secrets in what programs print: whole, encoded, and in pieces."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from libs.common.secret_redaction import RedactedStream, SecretRedactor

VALUE = "s3cr+et/Välue?"
LINES = "-----BEGIN KEY-----\n" + "\n".join("MIIE" + letter * 60 for letter in "abcd") + "\n-----END KEY-----\n"
LONG = "".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(7))[:400]


def encode_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"key={VALUE}.", f"key={'*' * 15}."),
        (json.dumps({"key": VALUE}), '{"key": "' + "*" * 19 + '"}'),
        (f"https://u:{quote(VALUE, safe='')}@host/", f"https://u:{'*' * 25}@host/"),
        (f"b64 {encode_base64(VALUE)} end", f"b64 {'*' * 20} end"),
        (base64.urlsafe_b64encode(VALUE.encode()).decode(), "*" * 20),
        (f"Basic {encode_base64('ann:' + VALUE)}", f"Basic YW5uOn{'*' * 19}w=="),
        ("nothing of it", "nothing of it"),
    ],
)
def test_a_value_is_hidden_in_the_forms_that_programs_write(text: str, redacted: str) -> None:
    assert SecretRedactor([VALUE]).redact(text) == redacted


@pytest.mark.parametrize("encoded", [quote, quote_plus, lambda text: quote(text, safe="!'()*")])
def test_a_value_is_hidden_in_the_urls_of_other_programs(encoded: Callable[[str], str]) -> None:
    value = "it's a (s3cret)/value*!"
    assert set(SecretRedactor([value]).redact(encoded(value))) == {"*"}


def test_a_short_value_is_not_hidden() -> None:
    assert SecretRedactor(["short", "admin "]).redact("a short text of admin ") == "a short text of admin "
    assert SecretRedactor(["longer"]).redact("a longer text") == "a ****** text"


def test_every_line_of_a_key_is_hidden_also_alone() -> None:
    redactor = SecretRedactor([LINES])
    assert set(redactor.redact(LINES)) <= {"*", "\n"}
    assert redactor.redact(LINES.splitlines()[2]) == "*" * 64


@pytest.mark.parametrize("width", [64, 76, 10_000])
def test_base64_in_lines_is_hidden_but_for_a_rest_that_says_little(width: int) -> None:
    text = encode_base64(LONG)
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    found = SecretRedactor([LONG]).redact("\n".join(lines))
    assert len(found.replace("*", "").replace("\n", "")) < 6


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("value", [VALUE, LINES, LONG])
def test_in_pieces_it_is_hidden_as_in_one(value: str, step: int) -> None:
    redactor = SecretRedactor([value, "s3cr+e"])
    content = f"before {value} between {encode_base64(value)}\n{value[:5]}\nthe end".encode()
    stream = RedactedStream(redactor)
    pieces = [stream.feed(content[start : start + step]) for start in range(0, len(content), step)]
    assert b"".join([*pieces, stream.end()]) == redactor.redact_bytes(content)


def test_only_what_may_become_a_value_waits() -> None:
    stream = RedactedStream(SecretRedactor(["sesame-open"]))
    assert stream.feed(b"a line\nses") == b"a line\n"
    assert stream.feed(b"sion") == b"session"
    assert stream.feed(b" sesame-") == b" "
    assert stream.feed(b"open!") == b"***********!"
    assert stream.feed(b" sesa") + stream.end() == b" sesa"


def test_a_value_that_begins_another_does_not_show_the_rest_of_it() -> None:
    stream = RedactedStream(SecretRedactor(["abcdef", "abcdefghij"]))
    assert stream.feed(b"abcdef") == b""
    assert stream.feed(b"ghij.") == b"**********."


def test_without_secrets_nothing_waits_and_nothing_changes() -> None:
    assert RedactedStream(SecretRedactor()).feed(b"x" * 10) == b"x" * 10
    assert SecretRedactor().redact("\ud800") == "\ud800"


def test_a_value_of_many_pieces_is_hidden_as_well() -> None:
    value = "".join(hashlib.sha256(number.to_bytes(2)).hexdigest() for number in range(200))
    content = f"before {value} between {encode_base64(value)} after".encode()
    redactor = SecretRedactor([value])
    stream = RedactedStream(redactor)
    pieces = [stream.feed(content[start : start + 1000]) for start in range(0, len(content), 1000)]
    assert b"".join([*pieces, stream.end()]) == redactor.redact_bytes(content)
    assert (
        redactor.redact_bytes(content).replace(b"*", b"") == b"before  between g= after"
    )  # the last letter has two bits of the value
