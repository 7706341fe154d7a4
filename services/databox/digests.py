"""The `Content-Digest` header (RFC 9530): what a body must hash to. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from libs.common.errors import Malformed

MEMBER = re.compile(r"\s*([a-z][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):\s*(?:;.*)?")
KNOWN = {"sha-256": "sha256", "sha-512": "sha512"}


@dataclass(frozen=True)
class Digest:
    algorithm: str
    value: bytes

    def hasher(self) -> hashlib._Hash:
        return hashlib.new(KNOWN[self.algorithm])

    def check(self, hasher: hashlib._Hash) -> None:
        """Raises Malformed when what was hashed is something else."""
        if not hmac.compare_digest(hasher.digest(), self.value):
            raise Malformed(f"the body's {self.algorithm} is not what Content-Digest says; nothing was stored")


def parse(header: str | None) -> Digest | None:
    """The strongest known digest in the header; None when there is none. Raises Malformed when it cannot be read."""
    found: dict[str, Digest] = {}
    for text in (header or "").split(","):
        if not text.strip():
            continue
        member = MEMBER.fullmatch(text)
        if member is None:
            raise Malformed("Content-Digest: write sha-256=:<base64>:")
        if member[1] in KNOWN:
            found[member[1]] = Digest(member[1], _bytes(member[2]))
    return found.get("sha-512") or found.get("sha-256")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("Content-Digest: the value is not base64") from error
