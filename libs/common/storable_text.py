"""A caller's text that every database can store. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _check_storable(value: str) -> str:
    """JSON can contain characters that no database stores."""
    if "\0" in value:
        raise ValueError("contains the character U+0000, which cannot be stored; remove it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("contains a lone surrogate, which is not a character; remove it") from error
    return value


StorableText = Annotated[str, AfterValidator(_check_storable)]
