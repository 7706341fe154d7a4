"""Parses `git ls-tree` and `git cat-file`, and selects the manifests of a commit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from libs.common.manifests import Problem
from libs.common.manifests.reading import MAX_FILE, MAX_FILES, MAX_TOTAL
from libs.common.python_packages import PARSED_FILES, is_relevant_path
from libs.common.repository_tree import (
    LINK_MODE,
    LINKED_FOLDER,
    LINKED_MANIFEST,
    MAX_LINK_TARGET_BYTES,
    SUBMODULE_MODE,
    TreePath,
    is_manifest_file,
    is_misnamed_manifest,
)

REGULAR_FILE_MODES = ("100644", "100755")


@dataclass(frozen=True)
class TreeEntry:
    """A file of a commit."""

    mode: str
    oid: str
    size: int
    path: str

    @property
    def is_relevant(self) -> bool:
        """Whether a warning may concern it."""
        return (
            self.mode in (LINK_MODE, SUBMODULE_MODE) or is_misnamed_manifest(self.path) or is_relevant_path(self.path)
        )

    @property
    def needs_content(self) -> bool:
        """Whether such a warning needs the file's content."""
        return (
            self.size <= MAX_LINK_TARGET_BYTES
            if self.mode == LINK_MODE
            else self.path in PARSED_FILES and self.size <= MAX_FILE
        )


@dataclass(frozen=True)
class TreeContents:
    """Files of a commit that a deployment may warn about, besides its manifests."""

    items: tuple[TreePath, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Package files by path (requirements.txt …), with content only where a warning needs it."""


class InvalidRevision(Exception):
    """The manifests of a commit are missing, invalid, too many or too large."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


def parse_entries(listing: bytes) -> Iterator[TreeEntry]:
    """The lines of `git ls-tree -r -l -z`: `<mode> <type> <oid> <size>\\t<path>`, each ended by NUL.

    Bytes that are not UTF-8 become escapes, so that different names stay different.
    """
    for line in listing.decode(errors="backslashreplace").split("\0"):
        facts, _, path = line.partition("\t")
        if path:
            mode, _kind, oid, size = facts.split()
            yield TreeEntry(mode, oid, int(size) if size.isdigit() else 0, path)


def select_manifests(entries: list[TreeEntry], path: str, commit: str) -> list[TreeEntry]:
    """The manifests among `entries`. Raises InvalidRevision."""
    if any(entry.path == path and entry.mode == LINK_MODE for entry in entries):
        raise InvalidRevision(Problem(path, 1, 1, LINKED_FOLDER))
    return check_manifest_limits([entry for entry in entries if is_manifest_file(entry.path)], path, commit)


def check_manifest_limits(entries: list[TreeEntry], path: str, commit: str) -> list[TreeEntry]:
    """`entries`, unchanged. Raises InvalidRevision for the first that breaks a limit."""
    if not entries:
        sentence = f"there is no manifest (*.yaml, *.yml) in {path} at commit {commit[:12]}"
        advice = "put the manifests there, or name their folder as path in the Repository"
        raise InvalidRevision(Problem(path, 1, 1, f"{sentence}; {advice}"))
    for entry in entries:
        if entry.mode not in REGULAR_FILE_MODES:
            raise InvalidRevision(Problem(entry.path, 1, 1, LINKED_MANIFEST))
        if entry.size > MAX_FILE:
            message = f"{entry.size} bytes are too large for a manifest; at most {MAX_FILE} are read"
            raise InvalidRevision(Problem(entry.path, 1, 1, f"{message}; keep data out of {path}"))
    if len(entries) > MAX_FILES:
        raise InvalidRevision(
            Problem(path, 1, 1, f"{len(entries)} manifests; at most {MAX_FILES} are read, merge some")
        )
    if (total := sum(entry.size for entry in entries)) > MAX_TOTAL:
        raise InvalidRevision(Problem(path, 1, 1, f"manifests of {total} bytes; at most {MAX_TOTAL} are read in all"))
    return entries


def take_within_limit(entries: list[TreeEntry], limit: int) -> list[TreeEntry]:
    """The first entries whose total size is at most `limit` bytes."""
    total, selected = 0, []
    for entry in entries:
        if (total := total + entry.size) > limit:
            break
        selected.append(entry)
    return selected


def build_contents(entries: list[TreeEntry], texts: Mapping[str, bytes]) -> TreeContents:
    """`texts` are the contents that were read; a link without one is left out."""
    relevant = [
        entry for entry in entries if entry.path in texts or not (entry.mode == LINK_MODE and entry.needs_content)
    ]
    items = tuple(_build_item(entry, texts) for entry in relevant)
    package_files = (entry for entry in relevant if is_relevant_path(entry.path))
    return TreeContents(
        items, {entry.path: b"" if entry.mode == LINK_MODE else texts.get(entry.path, b"") for entry in package_files}
    )


def _build_item(entry: TreeEntry, texts: Mapping[str, bytes]) -> TreePath:
    target = texts.get(entry.path, b"") if entry.mode == LINK_MODE else b""
    return TreePath(entry.path, entry.mode, target.decode(errors="backslashreplace"))


def parse_blobs(output: bytes, entries: list[TreeEntry]) -> Mapping[str, bytes]:
    """The output of `git cat-file --batch` (`<oid> <type> <size>\\n<content>\\n` each), in the order of `entries`."""
    blobs: dict[str, bytes] = {}
    position = 0
    for entry in entries:
        start = output.index(b"\n", position) + 1
        blobs[entry.path] = output[start : start + entry.size]
        position = start + entry.size + 1
    return blobs
