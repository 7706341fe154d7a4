"""Removes signed links from text that people read: a signed link works for anybody who has it. Pure."""

from __future__ import annotations

import re

URL_CHARACTERS = r"[^\s\\'\"<>"
"""Start of a character class: a link ends at these characters in a sentence, a page or a line of JSON."""
SIGNED_URL = re.compile(
    rf"(https?://{URL_CHARACTERS}?]*)\?{URL_CHARACTERS}]*(?:signature|credential|security-token)={URL_CHARACTERS}]*",
    re.IGNORECASE,
)
LINK_URL = re.compile(rf"(https?://{URL_CHARACTERS}?]*/links/){URL_CHARACTERS}]+")
S3_ERROR = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")


def redact_links(text: str) -> str:
    """`text` with each signed link cut before its signature."""
    if "://" not in text:
        return text
    return LINK_URL.sub(r"\1…", SIGNED_URL.sub(r"\1?…", text))


def s3_error_message(body: str) -> str:
    """Code and message of an S3 server's error, whose other parts may quote the signature. Other text is unchanged."""
    if match := S3_ERROR.search(body):
        return ": ".join(part for part in match.groups() if part)
    return body
