"""Signed links in texts that people read. Whoever has one may use it: it is in no reason, answer or log. Pure."""

from __future__ import annotations

import re

URL_CHARACTERS = r"[^\s\\'\"<>"
"""What a link is made of, in a sentence, a page or a line of JSON."""
SIGNED_URL = re.compile(
    rf"(https?://{URL_CHARACTERS}?]*)\?{URL_CHARACTERS}]*(?:signature|credential|security-token)={URL_CHARACTERS}]*",
    re.IGNORECASE,
)
LINK_URL = re.compile(rf"(https?://{URL_CHARACTERS}?]*/links/){URL_CHARACTERS}]+")
S3_ERROR = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")


def redact_links(text: str) -> str:
    """`text` with links that are good without another credential cut before what makes them good."""
    if "://" not in text:
        return text
    return LINK_URL.sub(r"\1…", SIGNED_URL.sub(r"\1?…", text))


def s3_error_message(body: str) -> str:
    """What an S3 server's error says; all of it may hold the signature that was given. Other texts stay."""
    if found := S3_ERROR.search(body):
        return ": ".join(part for part in found.groups() if part)
    return body
