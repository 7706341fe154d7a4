"""Which names are acceptable and which key of the store they mean. Pure.

    <app>/<box>/users/<user>/file_groups/<group>/<file>     in a box
    <app>/.internal/<area>/<file>                           in the app's internal area

A key that ends with `/` is a folder: every key that begins with it is in it. Databox owns the keys; whoever takes in
a name asks here whether databox will accept it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, unquote_to_bytes

from libs.common.errors import Forbidden, Invalid, Malformed
from libs.common.identity import ANONYMOUS
from libs.common.locations import Location

MAX_KEY_BYTES = 1024
"""What S3 allows for a key."""
MAX_SEGMENT_BYTES = 255
"""What file systems, and so several S3 servers, allow for a name."""
INTERNAL_FOLDER = ".internal"
NO_XML = "\ufffe\uffff"
"""What the listing of an S3 server cannot say."""
USER_DEPTH = 5
"""Segments of a key before its group."""
USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

Kind = Literal["box", "group", "file"]


@dataclass(frozen=True)
class BoxAddress:
    """What a caller's path names: a file, a group, or all of the caller's groups in the box (kind `box`)."""

    kind: Kind
    key: str


def decode_path(raw: bytes) -> str:
    """A percent-encoded path as text, decoded exactly once. Raises Malformed when it is not UTF-8."""
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("the path is not UTF-8") from error


def parse_address(app: str, box: str, user: str, path: str) -> BoxAddress:
    """One segment or a trailing `/` is a group; several segments without it are a file; nothing is the whole box."""
    root = user_root(app, box, user)
    if not path:
        return BoxAddress("box", root)
    name = path.removesuffix("/")
    check_path(name)
    kind: Kind = "group" if path.endswith("/") or "/" not in name else "file"
    return BoxAddress(kind, _check_length(f"{root}{name}/" if kind == "group" else root + name))


def location_key(app: str, location: Location) -> str:
    """The key of a location; a folder's ends with `/`. Raises Invalid, naming the location."""
    if why := location_error(app, location):
        raise Invalid(f"location {_escape_name(str(location))}: {why}")
    return _build_key(app, location)


def location_error(app: str, location: Location) -> str | None:
    """Why no file can be kept at a location, now or ever; None when one can, as far as names go."""
    try:
        _build_key(app, location)
    except (Invalid, Forbidden) as error:
        return error.detail
    return None


def _build_key(app: str, location: Location) -> str:
    return _check_length(_folder_key(app, location) + (location.file or ""))


def _folder_key(app: str, location: Location) -> str:
    if location.file is not None:
        check_path(location.file)
    if location.area is not None:
        return area_root(app, location.area)
    check_path(location.group or "")
    return f"{user_root(app, location.box or '', location.user or '')}{location.group}/"


def user_root(app: str, box: str, user: str) -> str:
    if user == ANONYMOUS:
        raise Forbidden("a caller without credentials has no files")
    if not USER.fullmatch(user) or user in (".", ".."):
        raise Invalid(f"user {_escape_name(user)}: use 1 to 64 of A-Z a-z 0-9 . _ @ -")
    return f"{box_root(app, box)}{user}/file_groups/"


def box_root(app: str, box: str) -> str:
    """Everything that counts against the box's capacity."""
    return f"{check_name('app', app)}/{check_name('box', box)}/users/"


def area_root(app: str, area: str) -> str:
    check_path(area)
    return _check_length(f"{check_name('app', app)}/{INTERNAL_FOLDER}/{area}/")


def box_of_key(key: str) -> tuple[str, str] | None:
    """The app and box that a key counts for; None in an internal area."""
    app, box, *_rest = key.split("/", 2)
    return None if box == INTERNAL_FOLDER else (app, box)


def enclosing_folders(key: str) -> list[str]:
    """The folders of a box's file below its group's first segment, outermost first, as keys that a file could have."""
    segments = key.split("/")
    return ["/".join(segments[:end]) for end in range(USER_DEPTH + 2, len(segments))]


def display_key(key: str) -> str:
    """`<box>/<group>/<file>`, as its user names it; another key as it is."""
    segments = key.split("/")
    return key if box_of_key(key) is None else "/".join([segments[1], *segments[USER_DEPTH:]])


def check_name(kind: str, name: str) -> str:
    if not NAME.fullmatch(name):
        raise Invalid(f"{kind} {_escape_name(name)}: use 1 to 63 of A-Z a-z 0-9 . _ - and begin with a letter or digit")
    return name


def check_path(path: str) -> None:
    """Raises Invalid unless every segment of `path` is an ordinary name."""
    for segment in path.split("/"):
        if reason := _segment_error(segment):
            raise Invalid(f"{_escape_name(path)}: {reason}")


def check_prefix(prefix: str) -> str:
    """A prefix of names may end within a segment, or with `/`."""
    if prefix:
        check_path(prefix.removesuffix("/"))
    return prefix


def _segment_error(segment: str) -> str | None:
    plain = unquote(segment)  # what a server in front of the files might make of it
    if not segment:
        return "a segment is empty"
    if plain in (".", ".."):
        return "a segment may not be . or .."
    if "/" in plain or "\\" in plain:
        return "a name may not hold a slash or backslash"
    if any(unicodedata.category(character) in ("Cc", "Cs") or character in NO_XML for character in segment + plain):
        return "a name may not hold control characters"
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        return f"a name may have at most {MAX_SEGMENT_BYTES} bytes"
    return None


def _check_length(key: str) -> str:
    if len(key.encode()) > MAX_KEY_BYTES:
        raise Invalid(f"the path is too long: with its box and user it may have {MAX_KEY_BYTES} bytes")
    return key


def _escape_name(text: str) -> str:
    """Hostile names appear in messages short and escaped."""
    return ascii(text if len(text) <= 80 else text[:80] + "…")
