"""Which names a branch or tag may have, as git-check-ref-format(1) says, in UTF-8. Pure."""

from __future__ import annotations

import re

FORBIDDEN = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]"  # controls, the space, and what Git's revisions and patterns are made of
    r"|\.\.|@\{|//|\A/|/\Z|\.\Z"
    r"|(?:\A|/)\.|\.lock(?:/|\Z)"
    r"|[\ud800-\udfff]"  # bytes that are not UTF-8: they cannot be stored or shown
)
ADVICE = "use letters, digits, -, _, . and /, as in feature/leaf-scan"


def is_valid_ref(ref: str) -> bool:
    """`ref` is a full name, such as refs/heads/main; bytes that are not UTF-8 are surrogates in it."""
    return FORBIDDEN.search(ref) is None
