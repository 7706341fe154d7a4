"""Links that lead through databox: what one allows, signed into its token. Pure; time is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import quote

from libs.common.errors import Forbidden, Invalid
from libs.common.signed_tokens import InvalidSignature, TokenSigner

Method = Literal["GET", "PUT"]
RFC5987_SAFE = "!#$&+-.^_`|~"
"""What RFC 5987 leaves as it is, beside letters and digits."""
DEFAULT_LIFETIME_S = 3600
MAX_LIFETIME_S = 24 * 3600
INTERNAL_LIFETIME_S = 6 * 3600
"""How long a link for a worker lives."""


@dataclass(frozen=True)
class Link:
    """Allows `method` on `key` until `expires` (epoch seconds); a PUT of at most `size` bytes when that is given."""

    method: Method
    key: str
    expires: float
    size: int | None = None

    def to_token(self, signer: TokenSigner) -> str:
        return signer.sign("databox link", [self.method, self.key, int(self.expires), self.size])

    def to_url(self, base: str, signer: TokenSigner) -> str:
        """`base`: where databox answers, or the gateway, for who will use it."""
        return f"{base}/links/{self.to_token(signer)}"


def verify_link(signer: TokenSigner, token: str, method: str, now: float) -> Link:
    """The link of `token`. Raises Forbidden when it is forged, over, or for another method. HEAD is as good as GET."""
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
    """The `Content-Disposition` of a file (RFC 6266): its name for everyone, and as it is for who reads RFC 5987."""
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
