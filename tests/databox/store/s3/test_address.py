from __future__ import annotations

import pytest

from services.databox.store.s3.address import S3Address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://a:b@host:9000/bucket", S3Address("a", "b", "host:9000", "bucket", False, "us-east-1")),
        ("s3://a:b%2Fc%40@host/bucket?tls=1", S3Address("a", "b/c@", "host", "bucket", True, "us-east-1")),
        ("s3://a:b@host/bucket/?tls=true&region=eu", S3Address("a", "b", "host", "bucket", True, "eu")),
        ("s3://a:b@[::1]:9/bucket", S3Address("a", "b", "[::1]:9", "bucket", False, "us-east-1")),
    ],
)
def test_an_address_has_parts(url: str, address: S3Address) -> None:
    assert S3Address.from_url(url) == address


@pytest.mark.parametrize("url", ["s3://host/bucket", "s3://a@host/bucket", "s3://a:b@host", "s3://a:b@/bucket"])
def test_an_address_without_a_part_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="MLMESH_STORE: write s3://"):
        S3Address.from_url(url)
