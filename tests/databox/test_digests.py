from __future__ import annotations

import base64
import hashlib

import pytest

from libs.common.errors import Malformed
from services.databox.digests import Digest, parse_content_digest


def digest_header(algorithm: str, value: bytes) -> str:
    return f"{algorithm}=:{base64.b64encode(value).decode()}:"


@pytest.mark.parametrize(
    ("header", "digest"),
    [
        (None, None),
        ("", None),
        (digest_header("md5", b"x"), None),
        (digest_header("sha-256", b"abc"), Digest("sha-256", b"abc")),
        (f"{digest_header('md5', b'x')}, {digest_header('sha-256', b'abc')};q=1", Digest("sha-256", b"abc")),
        (f"{digest_header('sha-256', b'abc')},{digest_header('sha-512', b'def')}", Digest("sha-512", b"def")),
    ],
)
def test_the_strongest_known_digest_counts(header: str | None, digest: Digest | None) -> None:
    assert parse_content_digest(header) == digest


@pytest.mark.parametrize("header", ["sha-256", "sha-256=abc", "sha-256=:!:", "sha-256=:abc:", "=:YQ==:"])
def test_an_invalid_content_digest_is_malformed(header: str) -> None:
    with pytest.raises(Malformed):
        parse_content_digest(header)


@pytest.mark.parametrize(("algorithm", "name"), [("sha-256", "sha256"), ("sha-512", "sha512")])
def test_a_digest_verifies_content(algorithm: str, name: str) -> None:
    digest = Digest(algorithm, hashlib.new(name, b"content").digest())
    for content, matches in ((b"content", True), (b"other", False)):
        hasher = digest.new_hasher()
        hasher.update(content)
        if matches:
            digest.verify(hasher)
        else:
            with pytest.raises(Malformed, match="nothing was stored"):
                digest.verify(hasher)
