"""The payload of a delivery, and its bearer token."""

from urllib.parse import quote_plus, urlencode

import pytest

from libs.common.errors import Malformed
from services.registry.forges.incoming_delivery import IncomingDelivery, parse_bearer_token

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize("text", ['{"a": "b c+d%20&=é"}', '{"ref":"refs/heads/main"}', ""])
def test_the_payload_of_a_form_is_exactly_what_was_encoded(text: str) -> None:
    for fields in ([("payload", text)], [("x", "1"), ("payload", text), ("y", "2")]):
        assert IncomingDelivery(FORM, urlencode(fields).encode()).payload == text.encode()


def test_bytes_of_a_form_that_are_not_utf_8_stay_as_they_are() -> None:
    every = bytes(range(256))
    assert IncomingDelivery(FORM, b"payload=" + quote_plus(every).encode()).payload == every
    assert IncomingDelivery(FORM, b"payload=%ff%3d=+%0A%20%2B").payload == b"\xff== \n +"


@pytest.mark.parametrize(("value", "payload"), [(b"%", b""), (b"%zz", b"=zz"), (b"a%4", b"a=4"), (b"%%", b"=")])
def test_an_escape_that_is_none_is_no_error(value: bytes, payload: bytes) -> None:
    """No forge sends one: only that it stays harmless counts."""
    assert IncomingDelivery(FORM, b"payload=" + value).payload == payload


def test_a_body_that_is_no_form_is_the_payload() -> None:
    assert IncomingDelivery({"content-type": "application/json"}, b"payload=%7B").payload == b"payload=%7B"
    assert IncomingDelivery({}, b"{}").parse_document() == {}


@pytest.mark.parametrize("body", [b"", b"other=1", b"&".join([b"a=1"] * 20 + [b"payload=1"])])
def test_a_form_without_a_payload_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="no field `payload`"):
        IncomingDelivery(FORM, body).parse_document()


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"\xff", b"5", b"[" * 100_000])
def test_a_payload_that_is_not_a_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="not a JSON object"):
        IncomingDelivery({}, body).parse_document()


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
    ],
)
def test_a_bearer_token_is_taken_from_its_header(header: str, token: str | None) -> None:
    assert parse_bearer_token(header) == token
