"""The address of an S3 bucket, parsed from the setting MLMESH_STORE. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class S3Address:
    access: str
    secret: str
    host: str
    """With its port."""
    bucket: str
    tls: bool
    region: str

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Raises ValueError if a part is missing."""
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        bucket = parts.path.strip("/")
        if not (parts.hostname and parts.username and parts.password and bucket):
            raise ValueError("MLMESH_STORE: write s3://access:secret@host:port/bucket")
        host = parts.netloc.rpartition("@")[2]
        tls = options.get("tls", ["0"])[0] in ("1", "true")
        region = options.get("region", ["us-east-1"])[0]
        return cls(unquote(parts.username), unquote(parts.password), host, bucket, tls, region)
