"""Ids of rows."""

from __future__ import annotations

import secrets


def new_id() -> str:
    """A short random id for URLs."""
    return secrets.token_hex(8)
