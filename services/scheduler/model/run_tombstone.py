"""Tombstones: what stays of a deleted run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from libs.common.protocol.publication import Move


@dataclass(frozen=True)
class Cleanup:
    """Files of a deleted run that are still to be deleted."""

    areas: tuple[str, ...]
    published: tuple[Move, ...]
    """Outputs in boxes, where they come from and where they are."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(tuple(document["areas"]), tuple(Move.model_validate(move) for move in document["published"]))

    def to_json(self) -> dict[str, Any]:
        return {"areas": list(self.areas), "published": [move.to_json() for move in self.published]}


@dataclass(frozen=True, kw_only=True)
class Tombstone:
    run: str
    app: str
    deleted_at: float
    cleanup: Cleanup
