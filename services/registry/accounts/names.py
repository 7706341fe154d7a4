"""Names of accounts. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from libs.common.identity import ANONYMOUS, OWNER_USER
from libs.common.manifests.fields import UserName

RESERVED = frozenset({OWNER_USER, ANONYMOUS, ".", ".."})
"""Users of every app that are no person, and what is no segment of a path."""


def _check_not_reserved(name: str) -> str:
    if name.lower() in RESERVED:
        raise ValueError("is reserved; choose another name")
    return name


AccountName = Annotated[UserName, AfterValidator(_check_not_reserved)]
"""The name of a person, who calls apps under it."""
