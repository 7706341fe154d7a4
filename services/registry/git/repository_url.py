"""Parses URLs of repositories. Pure.

Accepts only characters that Git, curl, ssh and the resolver parse alike; any other URL is invalid.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

from libs.common.http.addresses import Address

DEFAULT_PORTS = {"http": 80, "https": 443, "ssh": 22, "file": 0}
URL = re.compile(r"(https?|ssh|file)://([^/?#\\]*)(.*)", re.DOTALL | re.IGNORECASE)
SCP_LIKE = re.compile(r"((?!-)[\w.-]+)@([\w.-]+):(.+)", re.ASCII | re.DOTALL)
"""user@host:path, Git's scp-like syntax for ssh; the path is relative to the user's home."""
AUTHORITY = re.compile(r"(?:(.*)@)?(\[[^\[\]]+\]|[^:\[\]@]+)(?::(\d{0,5}))?", re.DOTALL)
HOST_NAME = re.compile(r"(?!-)[a-z0-9._-]+")
NUMERIC_HOST = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")
"""A spelling of an IPv4 address that the resolver and curl accept."""
USER = re.compile(r"(?!-)[\w.~+-]+", re.ASCII)
UNQUOTED = "/%:@!$&'()*+,;=~-._?"
MAX_SHOWN = 300
UPLOAD_PACK_QUERY = "/info/refs?service=git-upload-pack"


class InvalidRepositoryUrl(Exception):
    """Not a valid URL of a repository."""


@dataclass(frozen=True)
class RepositoryUrl:
    """`host` is an ASCII name or an IP address; `user` may contain a password; `scp_like` is user@host:path."""

    scheme: str
    user: str
    host: str
    port: int
    path: str
    scp_like: bool = False

    @property
    def default_port(self) -> int:
        return DEFAULT_PORTS[self.scheme]

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address in any spelling."""
        return ":" in self.host or NUMERIC_HOST.fullmatch(self.host) is not None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        if self.scp_like:
            return f"{self.user}@{self.host}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == self.default_port else f":{self.port}"
        return f"{self.scheme}://{self.user}{'@' if self.user else ''}{host}{port}{self.path}"

    def with_host(self, address: Address) -> Self:
        return replace(self, host=str(address))

    def follow_redirect(self, location: str) -> Self | None:
        """The URL after a redirect of Git's first request, or None when the origin differs."""
        if not location:
            return None
        try:
            new_url = parse_repository_url(urljoin(self.url.rstrip("/") + UPLOAD_PACK_QUERY, location))
        except (InvalidRepositoryUrl, ValueError):
            return None
        if new_url.origin != self.origin or not new_url.path.endswith(UPLOAD_PACK_QUERY):
            return None
        return replace(self, path=new_url.path.removesuffix(UPLOAD_PACK_QUERY))


def parse_repository_url(url: str) -> RepositoryUrl:
    """Raises InvalidRepositoryUrl."""
    if short := SCP_LIKE.fullmatch(url):
        return RepositoryUrl("ssh", short[1], _parse_host(short[2]), DEFAULT_PORTS["ssh"], short[3], scp_like=True)
    parts = URL.fullmatch(url)
    if parts is None:
        raise InvalidRepositoryUrl(
            "the url of a Repository begins with https://, ssh:// or file://, or is user@host:path"
        )
    scheme, path = parts[1].lower(), parts[3]
    if scheme == "file":
        return RepositoryUrl(scheme, "", "", 0, path)
    authority = AUTHORITY.fullmatch(parts[2])
    if authority is None or int(authority[3] or 0) > 65535:
        raise InvalidRepositoryUrl("the url of the Repository has no host, or its port is not a number")
    port = int(authority[3] or 0) or DEFAULT_PORTS[scheme]
    path = path if path.startswith("/") else f"/{path}"
    return RepositoryUrl(
        scheme, _parse_user(scheme, authority[1] or ""), _parse_host(authority[2]), port, quote(path, safe=UNQUOTED)
    )


def _parse_host(text: str) -> str:
    """The host in ASCII, or an IP address. NFKC turns digits and dots of other scripts into ASCII."""
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1].partition("%")[0]))
        plain = unicodedata.normalize("NFKC", text).encode("idna").decode().lower().removesuffix(".")
    except ValueError as error:
        raise InvalidRepositoryUrl(f"{text} is not a valid host name") from error
    if HOST_NAME.fullmatch(plain) is None:
        raise InvalidRepositoryUrl(f"{text} is not a valid host name")
    return plain


def _parse_user(scheme: str, text: str) -> str:
    """Git decodes a URL before it finds the host of ssh: percent-encoding is not allowed before the host."""
    if scheme == "ssh" and text and USER.fullmatch(text) is None:
        raise InvalidRepositoryUrl("the user in the url of the Repository has characters that ssh does not accept")
    return quote(text, safe="%:")


def redact_url(url: str) -> str:
    """A URL for error messages: without user info and query, and without the suffix of Git's first request."""
    parts = urlsplit(url.removesuffix(UPLOAD_PACK_QUERY))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:MAX_SHOWN]
