"""Where the file lies that an item names, and how a file that was stored is named in the answer. Pure.

`<group>/<file>` is in the default box, `<box>/<group>/<file>` in that one: as pipelines read them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from urllib.parse import unquote

MAX_PATH_BYTES = 1024
MAX_SEGMENT_BYTES = 255
FORM = "<group>/<file>, or <box>/<group>/<file>"

_NO_XML = "\ufffe\uffff"
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
    if why := refusal(name):
        raise NameFault(f"must be {FORM}: {why}")
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


def free_path(group: str, name: str, taken: Container[str]) -> str:
    """`<group>/<name>`, or in a numbered folder of the group when another file of the call has that."""
    path, number = f"{group}/{name}", 1
    while path in taken:
        number += 1
        path = f"{group}/{number}/{name}"
    return path


def refusal(path: str) -> str | None:
    """Why no box can hold a file of this name: the rules of `libs/common/store_keys.py`, which is not here."""
    reasons = (_reason(segment) for segment in path.split("/"))
    return next((why for why in reasons if why is not None), None) or _length_fault(path)


def _length_fault(path: str) -> str | None:
    if len(path.encode("utf-8")) <= MAX_PATH_BYTES:
        return None
    return f"the path is too long: with its box and user it may have {MAX_PATH_BYTES} bytes"


def _reason(segment: str) -> str | None:
    plain = unquote(segment)
    if not segment:
        return "a segment is empty"
    if plain in (".", ".."):
        return "a segment may not be . or .."
    if "/" in plain or "\\" in plain:
        return "a name may not hold a slash or backslash"
    if any(unicodedata.category(character) in ("Cc", "Cs") or character in _NO_XML for character in segment + plain):
        return "a name may not hold control characters"
    if len(segment.encode("utf-8")) > MAX_SEGMENT_BYTES:
        return f"a name may have at most {MAX_SEGMENT_BYTES} bytes"
    return None
