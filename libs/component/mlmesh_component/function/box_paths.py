"""Names of files in items: parsed to a box and a path, and formatted for responses. Pure.

`<group>/<file>` is in the default box, `<box>/<group>/<file>` in the named one, as in pipelines.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from urllib.parse import unquote

MAX_PATH_BYTES = 1024
MAX_SEGMENT_BYTES = 255
NAME_FORMAT = "<group>/<file>, or <box>/<group>/<file>"

_NO_XML = "\ufffe\uffff"
_NOT_GROUP_CHARACTER = re.compile(r"[^A-Za-z0-9._-]")


class InvalidFileName(Exception):
    """The name does not refer to a file in a connected box."""


@dataclass(frozen=True)
class Boxes:
    """`model` is the box of the model, `unconnected` are the app's other boxes, which are not connected."""

    connected: tuple[str, ...] = ()
    model: str | None = None
    unconnected: tuple[str, ...] = ()

    @property
    def default_box(self) -> str | None:
        """The box of names without a box and of results: preferably not the model's."""
        return next((box for box in self.connected if box != self.model), next(iter(self.connected), None))


@dataclass(frozen=True)
class BoxPath:
    box: str
    path: str
    """`<group>/<file>`"""


def parse_name(name: str, boxes: Boxes) -> BoxPath:
    """Parse a file name; raises `InvalidFileName`."""
    if fault := find_name_fault(name):
        raise InvalidFileName(f"must be {NAME_FORMAT}: {fault}")
    if boxes.default_box is None:
        raise InvalidFileName("names a file, but no box is connected to this component")
    first, *segments = name.split("/")
    if first in boxes.unconnected:
        connected = ", ".join(boxes.connected)
        raise InvalidFileName(f"box {first} is not connected to this component; connected are {connected}")
    if not segments:
        raise InvalidFileName(f"must be {NAME_FORMAT}")
    if first in boxes.connected and len(segments) > 1:
        return BoxPath(first, "/".join(segments))
    return BoxPath(boxes.default_box, name)


def format_name(box_path: BoxPath, boxes: Boxes) -> str:
    """Format a name that `parse_name` accepts; with the box if it is not the default, or the group has a box's name."""
    first = box_path.path.partition("/")[0]
    is_unambiguous = box_path.box == boxes.default_box and first not in (*boxes.connected, *boxes.unconnected)
    return box_path.path if is_unambiguous else f"{box_path.box}/{box_path.path}"


def result_group(request_id: str) -> str:
    """The group of a call's results: its request id, with characters replaced that a group cannot have."""
    return "results/" + (_NOT_GROUP_CHARACTER.sub("-", request_id).strip(".") or "-")


def find_unused_path(group: str, name: str, used_paths: Container[str]) -> str:
    """`<group>/<name>`, or a numbered folder of the group if another file of the call has that path."""
    path, number = f"{group}/{name}", 1
    while path in used_paths:
        number += 1
        path = f"{group}/{number}/{name}"
    return path


def find_name_fault(path: str) -> str | None:
    """Why no box accepts this name: the rules of `libs/common/store_keys.py`, which cannot be imported here."""
    faults = (_find_segment_fault(segment) for segment in path.split("/"))
    return next((why for why in faults if why is not None), None) or _find_length_fault(path)


def _find_length_fault(path: str) -> str | None:
    if len(path.encode("utf-8")) <= MAX_PATH_BYTES:
        return None
    return f"the path is too long: with its box and user it may have {MAX_PATH_BYTES} bytes"


def _find_segment_fault(segment: str) -> str | None:
    decoded = unquote(segment)
    if not segment:
        return "a segment is empty"
    if decoded in (".", ".."):
        return "a segment may not be . or .."
    if "/" in decoded or "\\" in decoded:
        return "a name may not hold a slash or backslash"
    if any(unicodedata.category(character) in ("Cc", "Cs") or character in _NO_XML for character in segment + decoded):
        return "a name may not hold control characters"
    if len(segment.encode("utf-8")) > MAX_SEGMENT_BYTES:
        return f"a name may have at most {MAX_SEGMENT_BYTES} bytes"
    return None
