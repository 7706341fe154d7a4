"""What a body must hash to: `Content-Digest` (RFC 9530), and `Content-MD5`, which older clients send. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.errors import Malformed

MEMBER = re.compile(r"\s*([a-z][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):\s*(?:;.*)?")
KNOWN = {"sha-256": "sha256", "sha-512": "sha512"}
HASHES = {**KNOWN, "md5": "md5"}
MD5_BYTES = 16


@dataclass(frozen=True)
class Digest:
    algorithm: str
    value: bytes
    header: str = "Content-Digest"

    def hasher(self) -> hashlib._Hash:
        return hashlib.new(HASHES[self.algorithm], usedforsecurity=False)

    def check(self, hasher: hashlib._Hash) -> None:
        """Raises Malformed when what was hashed is something else."""
        if not hmac.compare_digest(hasher.digest(), self.value):
            raise Malformed(f"the body's {self.algorithm} is not what {self.header} says; nothing was stored")


def told(headers: Mapping[str, str]) -> tuple[Digest, ...]:
    """What the headers of a request say of its body. Raises Malformed when that cannot be read."""
    found = parse(headers.get("content-digest")), parse_md5(headers.get("content-md5"))
    return tuple(digest for digest in found if digest is not None)


def parse_md5(header: str | None) -> Digest | None:
    """Raises Malformed when it is no MD5."""
    if header is None:
        return None
    value = _bytes("Content-MD5", header.strip())
    if len(value) != MD5_BYTES:
        raise Malformed("Content-MD5: write the 16 bytes of an MD5 in base64")
    return Digest("md5", value, "Content-MD5")


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
            found[member[1]] = Digest(member[1], _bytes("Content-Digest", member[2]))
    return found.get("sha-512") or found.get("sha-256")


def _bytes(header: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{header}: the value is not base64") from error
