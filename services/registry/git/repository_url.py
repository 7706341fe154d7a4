"""Addresses of repositories in parts, as Git and what it starts read them. Pure.

Every part is of letters that mean one thing to all of them (Git, curl, ssh, the resolver); other addresses are refused.
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
"""user@host:path, which is ssh; its path begins at the user's home."""
AUTHORITY = re.compile(r"(?:(.*)@)?(\[[^\[\]]+\]|[^:\[\]@]+)(?::(\d{0,5}))?", re.DOTALL)
HOST_NAME = re.compile(r"(?!-)[a-z0-9._-]+")
NUMERIC_HOST = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")
"""The resolver and curl read this as an IPv4 address, in one of its many spellings."""
USER = re.compile(r"(?!-)[\w.~+-]+", re.ASCII)
UNQUOTED = "/%:@!$&'()*+,;=~-._?"
MAX_SHOWN = 300
UPLOAD_PACK_QUERY = "/info/refs?service=git-upload-pack"


class InvalidRepositoryUrl(Exception):
    """This is no address of a repository."""


@dataclass(frozen=True)
class RepositoryUrl:
    """`host` is a name in ASCII, or an address; `user` may hold a password; a `short` one is user@host:path."""

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
        """Whether the host is an address and no name."""
        return ":" in self.host or NUMERIC_HOST.fullmatch(self.host) is not None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Where a connection goes."""
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
        """Where a redirect of Git's first question leads to, when that is the same place."""
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
    """Raises NotALocator."""
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
        raise InvalidRepositoryUrl("the url of the Repository has no host, or a port that is no number")
    port = int(authority[3] or 0) or DEFAULT_PORTS[scheme]
    path = path if path.startswith("/") else f"/{path}"
    return RepositoryUrl(
        scheme, _parse_user(scheme, authority[1] or ""), _parse_host(authority[2]), port, quote(path, safe=UNQUOTED)
    )


def _parse_host(text: str) -> str:
    """A name as it is looked up, or an address. Digits and dots of other scripts are digits and dots."""
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1].partition("%")[0]))
        plain = unicodedata.normalize("NFKC", text).encode("idna").decode().lower().removesuffix(".")
    except ValueError as error:
        raise InvalidRepositoryUrl(f"{text} is no host's name") from error
    if HOST_NAME.fullmatch(plain) is None:
        raise InvalidRepositoryUrl(f"{text} is no host's name")
    return plain


def _parse_user(scheme: str, text: str) -> str:
    """Git decodes an address before it looks for the host of ssh: no encoded letter may be in front of it."""
    if scheme == "ssh" and text and USER.fullmatch(text) is None:
        raise InvalidRepositoryUrl("the user in the url of the Repository has letters that ssh does not take")
    return quote(text, safe="%:")


def redact_url(url: str) -> str:
    """An address as errors show it: without what may be a secret; that of a question as that of its repository."""
    parts = urlsplit(url.removesuffix(UPLOAD_PACK_QUERY))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:MAX_SHOWN]
