"""Where the file lies that an item names, and how a file that was stored is named in the answer. Pure.

`<group>/<file>` is in the default box, `<box>/<group>/<file>` in that one: as pipelines read them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_NAME_BYTES = 1024
MAX_SEGMENT_BYTES = 255
FORM = "<group>/<file>, or <box>/<group>/<file>"

_NOT_IN_A_GROUP = re.compile(r"[^A-Za-z0-9._-]")


class NameFault(Exception):
    """This is not the name of a file in a connected box."""


@dataclass(frozen=True)
class Boxes:
    """`model` is the box that the model came from, `others` are those of the app that are not connected."""

    connected: tuple[str, ...] = ()
    model: str | None = None
    others: tuple[str, ...] = ()

    @property
    def default(self) -> str | None:
        """Where a name without a box is looked for, and results go: not beside the model if there is another."""
        return next((box for box in self.connected if box != self.model), next(iter(self.connected), None))


@dataclass(frozen=True)
class Place:
    box: str
    path: str
    """`<group>/<file>`"""


def place(name: str, boxes: Boxes) -> Place:
    """Where the file of this name lies; `NameFault` when nowhere."""
    _check_name(name)
    if boxes.default is None:
        raise NameFault("names a file, but no box is connected to this component")
    first, *rest = name.split("/")
    if first in boxes.others:
        connected = ", ".join(boxes.connected)
        raise NameFault(f"box {first} is not connected to this component; connected are {connected}")
    if not rest:
        raise NameFault(f"must be {FORM}")
    if first in boxes.connected and len(rest) > 1:
        return Place(first, "/".join(rest))
    return Place(boxes.default, name)


def name_of(at: Place, boxes: Boxes) -> str:
    """What `place` finds there: without its box, unless the group would be taken for one."""
    first = at.path.partition("/")[0]
    plain = at.box == boxes.default and first not in (*boxes.connected, *boxes.others)
    return at.path if plain else f"{at.box}/{at.path}"


def result_group(request_id: str) -> str:
    """Where the files of an answer go: the id, with what a group's name cannot hold replaced."""
    return "results/" + (_NOT_IN_A_GROUP.sub("-", request_id).strip(".") or "-")


def _check_name(name: str) -> None:
    if "\0" in name or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise NameFault("is not the name of a file")
    for segment in name.split("/"):
        if segment in ("", ".", "..") or len(segment.encode("utf-8", "replace")) > MAX_SEGMENT_BYTES:
            raise NameFault(f"must be {FORM}, without empty, '.', '..' or very long parts")
        if "\\" in segment or any(ord(character) < 32 for character in segment):
            raise NameFault(f"must be {FORM}, without control characters and backslashes")
