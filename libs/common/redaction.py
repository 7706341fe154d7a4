"""Signed links in texts that people read. Whoever has one may use it: it is in no reason, answer or log. Pure."""

from __future__ import annotations

import re

HERE = r"[^\s\\'\"<>"
"""What a link is made of, in a sentence, a page or a line of JSON."""
SIGNED = re.compile(rf"(https?://{HERE}?]*)\?{HERE}]*(?:signature|credential|security-token)={HERE}]*", re.IGNORECASE)
PASSED = re.compile(rf"(https?://{HERE}?]*/links/){HERE}]+")
S3_ERROR = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")


def redacted(text: str) -> str:
    """`text` with links that are good without another credential cut before what makes them good."""
    if "://" not in text:
        return text
    return PASSED.sub(r"\1…", SIGNED.sub(r"\1?…", text))


def s3_said(body: str) -> str:
    """What an S3 server's error says; all of it may hold the signature that was given. Other texts stay."""
    if found := S3_ERROR.search(body):
        return ": ".join(part for part in found.groups() if part)
    return body
