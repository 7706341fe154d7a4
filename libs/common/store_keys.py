"""Keys of the object store: checks names and builds the key of each file. Pure.

    <app>/<box>/users/<user>/file_groups/<group>/<file>     in a box
    <app>/.internal/<area>/<file>                           in the app's internal area

A key that ends with `/` is a folder: it contains every key that begins with it. Databox owns the keys; the other
services check here whether databox will accept a name.
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
"""The limit of S3 for a key."""
MAX_SEGMENT_BYTES = 255
"""The limit of file systems, and so of several S3 servers, for a name."""
INTERNAL_FOLDER = ".internal"
NO_XML = "\ufffe\uffff"
"""Characters that XML, and so a listing of an S3 server, cannot contain."""
USER_DEPTH = 5
"""Number of segments before the group in a key."""
USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

Kind = Literal["box", "group", "file"]


@dataclass(frozen=True)
class BoxAddress:
    """The target of a caller's path: a file, a group, or all of the caller's groups in the box (kind `box`)."""

    kind: Kind
    key: str


def decode_path(raw: bytes) -> str:
    """A percent-encoded path as text, decoded exactly once. Raises Malformed when it is not UTF-8."""
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("the path is not UTF-8") from error


def parse_address(app: str, box: str, user: str, path: str) -> BoxAddress:
    """A path of one segment or with a trailing `/` is a group, of several segments a file; an empty path is the box."""
    root = user_root(app, box, user)
    if not path:
        return BoxAddress("box", root)
    name = path.removesuffix("/")
    check_path(name)
    kind: Kind = "group" if path.endswith("/") or "/" not in name else "file"
    return BoxAddress(kind, _check_length(f"{root}{name}/" if kind == "group" else root + name))


def location_key(app: str, location: Location) -> str:
    """The key of a location; that of a folder ends with `/`. Raises Invalid with the location's name."""
    if why := location_error(app, location):
        raise Invalid(f"location {_escape_name(str(location))}: {why}")
    return _build_key(app, location)


def location_error(app: str, location: Location) -> str | None:
    """Why the names of a location are not allowed; None if they are."""
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
    """The folder of everything that counts against the capacity of the box."""
    return f"{check_name('app', app)}/{check_name('box', box)}/users/"


def area_root(app: str, area: str) -> str:
    check_path(area)
    return _check_length(f"{check_name('app', app)}/{INTERNAL_FOLDER}/{area}/")


def box_of_key(key: str) -> tuple[str, str] | None:
    """The app and box of a key; None in an internal area."""
    app, box = key.split("/", 2)[:2]
    return None if box == INTERNAL_FOLDER else (app, box)


def enclosing_folders(key: str) -> list[str]:
    """Keys without `/` of the folders around a box's file, below the first segment of its group, outermost first."""
    segments = key.split("/")
    return ["/".join(segments[:end]) for end in range(USER_DEPTH + 2, len(segments))]


def display_key(key: str) -> str:
    """`<box>/<group>/<file>`, as the user writes it; any other key unchanged."""
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
    """Raises Invalid as `check_path`; a prefix may end within a segment, or with `/`."""
    if prefix:
        check_path(prefix.removesuffix("/"))
    return prefix


def _segment_error(segment: str) -> str | None:
    plain = unquote(segment)  # a server in front of the store might decode it once more
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
    """`text` short and escaped, for a message."""
    return ascii(text if len(text) <= 80 else text[:80] + "…")
