"""What `git ls-tree` and `git cat-file` print, read; and which of it a deployment takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from libs.common.manifests import Problem
from libs.common.manifests.reading import MAX_FILE, MAX_FILES, MAX_TOTAL
from libs.common.python_packages import READ, matters
from libs.common.repository_tree import (
    LINK,
    LINKED_FOLDER,
    LINKED_MANIFEST,
    MAX_TARGET,
    SUBMODULE,
    Item,
    is_manifest,
    nearly_manifest,
)

REGULAR = ("100644", "100755")


@dataclass(frozen=True)
class Entry:
    """One file of a commit."""

    mode: str
    oid: str
    size: int
    path: str

    @property
    def is_told(self) -> bool:
        """Whether a warning may be about it."""
        return self.mode in (LINK, SUBMODULE) or nearly_manifest(self.path) or matters(self.path)

    @property
    def is_read(self) -> bool:
        """Whether such a warning needs its content."""
        return self.size <= MAX_TARGET if self.mode == LINK else self.path in READ and self.size <= MAX_FILE


@dataclass(frozen=True)
class Contents:
    """What warnings of a deployment are about, besides its manifests."""

    items: tuple[Item, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Paths that tell which packages the repository asks for; texts only of those that are read for it."""


class Refused(Exception):
    """The manifests of a commit are too many, too large, not there, or wrong."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


def entries_of(listing: bytes) -> Iterator[Entry]:
    """The lines of `git ls-tree -r -l -z`: `<mode> <type> <oid> <size>\\t<path>`, each ended by NUL.

    A name that is not UTF-8 is shown with its bytes as escapes: two of them must not become one.
    """
    for line in listing.decode(errors="backslashreplace").split("\0"):
        facts, _, path = line.partition("\t")
        if path:
            mode, _kind, oid, size = facts.split()
            yield Entry(mode, oid, int(size) if size.isdigit() else 0, path)


def manifests_of(entries: list[Entry], path: str, commit: str) -> list[Entry]:
    """The manifests among `entries`, or Refused with the first reason not to read them."""
    if any(entry.path == path and entry.mode == LINK for entry in entries):
        raise Refused(Problem(path, 1, 1, LINKED_FOLDER))
    return checked([entry for entry in entries if is_manifest(entry.path)], path, commit)


def checked(entries: list[Entry], path: str, commit: str) -> list[Entry]:
    """`entries`, or Refused with the first reason not to read them."""
    if not entries:
        raise Refused(Problem(path, 1, 1, f"there is no manifest (*.yaml, *.yml) in {path} at commit {commit[:12]}"))
    for entry in entries:
        if entry.mode not in REGULAR:
            raise Refused(Problem(entry.path, 1, 1, LINKED_MANIFEST))
        if entry.size > MAX_FILE:
            said = f"{entry.size} bytes are too large for a manifest; at most {MAX_FILE} are read"
            raise Refused(Problem(entry.path, 1, 1, f"{said}; keep data out of {path}"))
    if len(entries) > MAX_FILES:
        raise Refused(Problem(path, 1, 1, f"{len(entries)} manifests; at most {MAX_FILES} are read, merge some"))
    if (total := sum(entry.size for entry in entries)) > MAX_TOTAL:
        raise Refused(Problem(path, 1, 1, f"manifests of {total} bytes; at most {MAX_TOTAL} are read in all"))
    return entries


def affordable(entries: list[Entry], limit: int) -> list[Entry]:
    """The first ones whose sizes together are below `limit` bytes."""
    total, found = 0, []
    for entry in entries:
        if (total := total + entry.size) > limit:
            break
        found.append(entry)
    return found


def contents_of(entries: list[Entry], texts: Mapping[str, bytes]) -> Contents:
    """`texts` are those of the entries that were read; nothing is said of a link whose target was not."""
    known = [entry for entry in entries if entry.path in texts or not (entry.mode == LINK and entry.is_read)]
    items = tuple(_item(entry, texts) for entry in known)
    asking = (entry for entry in known if matters(entry.path))
    return Contents(items, {one.path: b"" if one.mode == LINK else texts.get(one.path, b"") for one in asking})


def _item(entry: Entry, texts: Mapping[str, bytes]) -> Item:
    target = texts.get(entry.path, b"") if entry.mode == LINK else b""
    return Item(entry.path, entry.mode, target.decode(errors="backslashreplace"))


def split(output: bytes, entries: list[Entry]) -> Mapping[str, bytes]:
    """The answers of `git cat-file --batch` (`<oid> <type> <size>\\n<content>\\n` each), in the order asked."""
    found: dict[str, bytes] = {}
    position = 0
    for entry in entries:
        start = output.index(b"\n", position) + 1
        found[entry.path] = output[start : start + entry.size]
        position = start + entry.size + 1
    return found
