"""Values of a submission: what an input is, and which folder an output goes to. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.datatypes import NUMERIC_DATATYPES
from libs.common.identity import ANONYMOUS
from libs.common.locations import Location
from libs.common.manifests.apicomponent import ApiInput
from libs.common.store_keys import location_error
from services.scheduler.model.run_plan import InputSource, InputValue

MAX_SHOWN_CHARS = 80
"""How many characters of an invalid value an error message shows."""


@dataclass(frozen=True)
class Submitter:
    """The user who submits, and all boxes of the app."""

    app: str
    name: str
    boxes: Collection[str]


@dataclass(frozen=True)
class BoxAccess:
    """The boxes that a pipeline is connected to, for one user."""

    user: Submitter
    connected: Sequence[str]


def parse_source(item: ApiInput, value: Any, access: BoxAccess) -> InputSource:
    datatypes = item.type.datatypes
    if isinstance(value, str) and ("FILE" in datatypes or "FOLDER" in datatypes):
        if value.endswith("/") and "FOLDER" not in datatypes:
            raise ValueError("must be a file, not a folder")
        return parse_location(value, access, folder="FILE" not in datatypes or value.endswith("/"))
    for datatype in datatypes:
        if matches_datatype(datatype, value):
            return InputValue(value, ".txt" if datatype == "str" else ".json")
    raise ValueError(f"must be {' or '.join(datatypes)}, not {_shorten(value)}")


def _shorten(value: Any) -> str:
    """A JSON value for an error message; a list or an object is only named as such."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"


def matches_datatype(datatype: str, value: Any) -> bool:
    """Whether a JSON value is of this datatype; never for FILE and FOLDER, which are locations."""
    if datatype == "BOOL":
        return isinstance(value, bool)
    if datatype in NUMERIC_DATATYPES:
        numbers = value if isinstance(value, list) else [value]
        types = (int,) if datatype.startswith("INT") else (int, float)
        return all(
            isinstance(number, types) and not isinstance(number, bool) and math.isfinite(number) for number in numbers
        )
    return isinstance(value, {"str": str, "dict": dict}.get(datatype, ()))


def parse_location(value: str, access: BoxAccess, *, folder: bool) -> Location:
    """Parse `<box>/<group>/<file>`, or `<group>/<file>` with one connected box. Raises ValueError with the remedy."""
    segments, boxes = value.removesuffix("/").split("/"), access.connected
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError(
            'must name a file or folder in a box, <box>/<group>/<file>, without ".", ".." and empty parts; what is on'
            " your machine comes there with: mlmesh box put"
        )
    if not boxes:
        raise ValueError("the pipeline has no connectedBoxes, so files cannot be named")
    if segments[0] in access.user.boxes and segments[0] not in boxes:
        raise ValueError(f"box {segments[0]} is not connected to this pipeline; connected are {', '.join(boxes)}")
    min_segments = 1 if folder else 2
    has_box = segments[0] in boxes and len(segments) > min_segments
    if not has_box and len(boxes) > 1:
        raise ValueError(f"must start with the name of a box: {', '.join(boxes)}")
    box, path = (segments[0], segments[1:]) if has_box else (boxes[0], segments)
    if len(path) < min_segments:
        raise ValueError("must be <group>/<file>, or <box>/<group>/<file>")
    group, file = ("/".join(path), None) if folder else ("/".join(path[:-1]), path[-1])
    return _check_location(access.user.app, Location(box=box, user=access.user.name, group=group, file=file))


def _check_location(app: str, location: Location) -> Location:
    """Raises ValueError for a location that databox would reject after the run."""
    if problem := location_error(app, location):
        raise ValueError(problem)
    return location


def resolve_target(value: Any, access: BoxAccess, default_group: str) -> Location | None:
    """Where an output is published; None when it stays with the run."""
    if isinstance(value, str):
        return parse_location(value, access, folder=True)
    if value is not None:
        raise ValueError("must be the name of a folder")
    if len(access.connected) != 1 or access.user.name == ANONYMOUS:  # an anonymous user has no files
        return None
    location = Location(box=access.connected[0], user=access.user.name, group=default_group)
    return _check_location(access.user.app, location)
