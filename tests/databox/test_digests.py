from __future__ import annotations

import base64
import hashlib

import pytest

from libs.common.errors import Malformed
from services.databox.digests import Digest, parse


def header(algorithm: str, value: bytes) -> str:
    return f"{algorithm}=:{base64.b64encode(value).decode()}:"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, None),
        ("", None),
        (header("md5", b"x"), None),
        (header("sha-256", b"abc"), Digest("sha-256", b"abc")),
        (f"{header('md5', b'x')}, {header('sha-256', b'abc')};q=1", Digest("sha-256", b"abc")),
        (f"{header('sha-256', b'abc')},{header('sha-512', b'def')}", Digest("sha-512", b"def")),
    ],
)
def test_the_strongest_known_digest_counts(given: str | None, found: Digest | None) -> None:
    assert parse(given) == found


@pytest.mark.parametrize("given", ["sha-256", "sha-256=abc", "sha-256=:!:", "sha-256=:abc:", "=:YQ==:"])
def test_what_cannot_be_read_is_malformed(given: str) -> None:
    with pytest.raises(Malformed):
        parse(given)


@pytest.mark.parametrize(("algorithm", "name"), [("sha-256", "sha256"), ("sha-512", "sha512")])
def test_a_digest_knows_its_content(algorithm: str, name: str) -> None:
    digest = Digest(algorithm, hashlib.new(name, b"content").digest())
    for content, good in ((b"content", True), (b"other", False)):
        hasher = digest.hasher()
        hasher.update(content)
        if good:
            digest.check(hasher)
        else:
            with pytest.raises(Malformed, match="nothing was stored"):
                digest.check(hasher)
