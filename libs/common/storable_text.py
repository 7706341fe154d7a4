"""Texts of a caller that are kept. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _check_storable(value: str) -> str:
    """JSON can spell what no database takes."""
    if "\0" in value:
        raise ValueError("has the character U+0000, which cannot be kept; leave it out")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("has a lone surrogate, which is no character") from error
    return value


StorableText = Annotated[str, AfterValidator(_check_storable)]
