"""Which program reads a Dockerfile: its `syntax` directive names an image, which BuildKit runs in its place. Pure.

Source: BuildKit, `frontend/dockerfile/parser/directives.go`.
"""

from __future__ import annotations

import json
import re
from typing import Final

SYNTAX_ARGUMENT: Final = "BUILDKIT_SYNTAX"
"""The argument of a build that says the same."""
OFFICIAL: Final = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@][\w.:-]+)?")
DIRECTIVE: Final = re.compile(r"\s*(?:#|//)\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+)")
UTF8_BOM: Final = b"\xef\xbb\xbf"


def find_foreign_frontend(dockerfile: bytes) -> str | None:
    """The image of a frontend that is not Docker's own: it would decide itself which caches a build sees."""
    frontend = _find_frontend(dockerfile.removeprefix(UTF8_BOM).decode(errors="replace"))
    return None if frontend is None or OFFICIAL.fullmatch(frontend) else frontend


def _find_frontend(text: str) -> str | None:
    lines = text.split("\n")
    for line in lines[1:] if text.startswith("#!") else lines:
        directive = DIRECTIVE.match(line)
        if directive is None:
            break
        if directive[1].lower() == "syntax":
            return next(iter(directive[2].split()), "")
    return _find_in_json(text)


def _find_in_json(text: str) -> str | None:
    """A file of another language names its frontend in JSON."""
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return str(document["syntax"]) if isinstance(document, dict) and "syntax" in document else None
