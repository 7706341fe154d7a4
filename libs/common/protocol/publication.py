"""How databox publishes a run's outputs and takes them back: `PUT …/publications/{id}` and `POST …/removals`."""

from __future__ import annotations

from libs.common.protocol.message import LocationField, Message


class Move(Message):
    """All files of one folder go to another."""

    source: LocationField
    """A folder that only one attempt writes."""
    target: LocationField
    """A group of a box."""


class Moves(Message):
    """What one publication copies, all or nothing; and what a removal deletes where it is still the source's."""

    moves: tuple[Move, ...]


class FileTotals(Message):
    """How many files, and their bytes."""

    number: int
    bytes: int


class PublicationResult(Message):
    """Everything is copied; a repeated call returns the first result."""

    files: FileTotals
