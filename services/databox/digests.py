"""Digests of a request body: `Content-Digest` (RFC 9530), and `Content-MD5` of older clients. Pure."""

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
CONTENT_DIGEST_HASHES = {"sha-256": "sha256", "sha-512": "sha512"}
HASHES = {**CONTENT_DIGEST_HASHES, "md5": "md5"}
MD5_BYTES = 16


@dataclass(frozen=True)
class Digest:
    algorithm: str
    value: bytes
    header: str = "Content-Digest"

    def new_hasher(self) -> hashlib._Hash:
        return hashlib.new(HASHES[self.algorithm], usedforsecurity=False)

    def verify(self, hasher: hashlib._Hash) -> None:
        """Raises Malformed if the hash differs."""
        if not hmac.compare_digest(hasher.digest(), self.value):
            raise Malformed(f"the body's {self.algorithm} does not match {self.header}; nothing was stored")


def parse_digests(headers: Mapping[str, str]) -> tuple[Digest, ...]:
    """Digests that the request's headers declare. Raises Malformed for an invalid header."""
    digests = parse_content_digest(headers.get("content-digest")), parse_content_md5(headers.get("content-md5"))
    return tuple(digest for digest in digests if digest is not None)


def parse_content_md5(header: str | None) -> Digest | None:
    """Raises Malformed unless the header is a base64 MD5."""
    if header is None:
        return None
    value = _decode_base64("Content-MD5", header.strip())
    if len(value) != MD5_BYTES:
        raise Malformed("Content-MD5: write the 16 bytes of an MD5 in base64")
    return Digest("md5", value, "Content-MD5")


def parse_content_digest(header: str | None) -> Digest | None:
    """The strongest supported digest of the header, or None. Raises Malformed for an invalid header."""
    digests: dict[str, Digest] = {}
    for text in (header or "").split(","):
        if not text.strip():
            continue
        member = MEMBER.fullmatch(text)
        if member is None:
            raise Malformed("Content-Digest: write sha-256=:<base64>:")
        if member[1] in CONTENT_DIGEST_HASHES:
            digests[member[1]] = Digest(member[1], _decode_base64("Content-Digest", member[2]))
    return digests.get("sha-512") or digests.get("sha-256")


def _decode_base64(header: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{header}: the value is not base64") from error
