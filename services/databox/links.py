"""Presigned links that databox serves itself: method, key, expiry and size limit, signed. Pure; time is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import quote

from libs.common.errors import Forbidden, Invalid
from libs.common.signed_tokens import InvalidSignature, TokenSigner

Method = Literal["GET", "PUT"]
RFC5987_SAFE = "!#$&+-.^_`|~"
"""Characters that RFC 5987 allows unescaped, besides letters and digits."""
DEFAULT_LIFETIME_S = 3600
MAX_LIFETIME_S = 24 * 3600
INTERNAL_LIFETIME_S = 6 * 3600
"""Lifetime of a link for another service."""


@dataclass(frozen=True)
class Link:
    """Allows `method` on `key` until `expires` (epoch seconds); `size` limits the bytes of a PUT."""

    method: Method
    key: str
    expires: float
    size: int | None = None

    def to_token(self, signer: TokenSigner) -> str:
        return signer.sign("databox link", [self.method, self.key, int(self.expires), self.size])

    def to_url(self, base: str, signer: TokenSigner) -> str:
        """`base`: the URL of databox or of the gateway, whichever the user of the link reaches."""
        return f"{base}/links/{self.to_token(signer)}"


def verify_link(signer: TokenSigner, token: str, method: str, now: float) -> Link:
    """Raises Forbidden if the token is forged, expired, or for another method. A GET link also allows HEAD."""
    try:
        allowed_method, key, expires, size = signer.verify("databox link", token)
    except InvalidSignature as error:
        raise Forbidden("this link is not valid") from error
    if now >= expires:
        raise Forbidden("this link has expired; ask for a new one")
    if allowed_method != ("GET" if method == "HEAD" else method):
        raise Forbidden(f"this link is for {allowed_method} only")
    return Link(cast(Method, allowed_method), key, expires, size)


def content_disposition(key: str) -> str:
    """The `Content-Disposition` of a file (RFC 6266): an ASCII name, and the exact one (RFC 5987)."""
    name = key.rpartition("/")[2]
    plain = "".join(char if char.isascii() and char not in '"\\%;' else "_" for char in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=RFC5987_SAFE)}"


def parse_lifetime(text: str | None) -> int:
    """`?expires=`: seconds, 1 to 24 hours."""
    if text is None:
        return DEFAULT_LIFETIME_S
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIFETIME_S and len(text) < 9):
        raise Invalid(f"expires: seconds, 1 to {MAX_LIFETIME_S}")
    return int(text)
