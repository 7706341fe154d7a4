"""A webhook delivery as it came. Pure."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from libs.common.errors import Malformed

FORM = "application/x-www-form-urlencoded"
MAX_FORM_FIELDS = 16


@dataclass(frozen=True)
class IncomingDelivery:
    """`headers` have lower-case names; `authorization` is the forge's own."""

    headers: Mapping[str, str]
    body: bytes = b""

    def get_header(self, name: str) -> str:
        """Empty when it is missing: Gitea and Gogs send an empty signature for a hook without a secret."""
        return self.headers.get(name.lower(), "").strip()

    @property
    def bearer_token(self) -> str | None:
        return parse_bearer_token(self.get_header("authorization"))

    @cached_property
    def payload(self) -> bytes:
        """The JSON text: the body, or the field `payload` of a form. Raises Malformed."""
        if not self.get_header("content-type").lower().startswith(FORM):
            return self.body
        for field in self.body.split(b"&", MAX_FORM_FIELDS):
            name, _, value = field.partition(b"=")
            if name == b"payload":
                return decode_form_value(value)
        raise Malformed("the webhook's form has no field `payload`; choose the content type application/json")

    def parse_document(self) -> Mapping[str, Any]:
        """The JSON object of the payload. Raises Malformed."""
        try:
            document = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise Malformed("the webhook's body is not a JSON object") from error
        if not isinstance(document, dict):
            raise Malformed("the webhook's body is not a JSON object")
        return document


def decode_form_value(value: bytes) -> bytes:
    """As quoted-printable, whose decoder is C: `unquote_to_bytes` takes 100 ms and 30 MB a megabyte of it."""
    return binascii.a2b_qp(value.replace(b"=", b"%3D").replace(b"+", b" ").replace(b"%", b"="))


def parse_bearer_token(header: str) -> str | None:
    """The token of an `Authorization: Bearer …` header."""
    scheme, _, token = header.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
