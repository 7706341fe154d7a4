"""Cookies of modules and of the console, which share hosts: neither gets those of the other. Pure."""

from __future__ import annotations

SESSION_COOKIES = frozenset({b"mlmesh", b"__host-mlmesh", b"__secure-mlmesh", b"__host-http-mlmesh", b"__http-mlmesh"})
"""Names of the console's cookie, in lower case, with and without the prefixes that browsers know."""


def remove_session_cookie(cookies: bytes) -> bytes:
    """A `Cookie` header without the console's session."""
    pairs = [pair.strip() for pair in cookies.split(b";")]
    return b"; ".join(pair for pair in pairs if pair and not _is_session(pair))


def limit_cookie(cookie: bytes, folder: bytes | None) -> bytes | None:
    """A module's `Set-Cookie`, for no other host than the requested one; None when it may not be set.

    `folder`, such as `/texts`: the cookie is sent with requests below it only; None: the host is the app's own.
    """
    pair, *attributes = cookie.split(b";")
    if _is_session(pair.lstrip(b" \t=")):  # a browser sends `=mlmesh=1`, which has no name, as `mlmesh=1`
        return None
    remaining = [attribute for attribute in attributes if _get_name(attribute) != b"domain"]
    if folder is not None:
        path = next(
            (_get_value(attribute) for attribute in reversed(remaining) if _get_name(attribute) == b"path"), b""
        )
        remaining = [attribute for attribute in remaining if _get_name(attribute) != b"path"]
        remaining.append(b" Path=" + (path if path == folder or path.startswith(folder + b"/") else folder + b"/"))
    return b";".join([pair, *remaining])


def _is_session(pair: bytes) -> bool:
    return _get_name(pair) in SESSION_COOKIES


def _get_name(text: bytes) -> bytes:
    return text.partition(b"=")[0].strip().lower()


def _get_value(text: bytes) -> bytes:
    return text.partition(b"=")[2].strip()
