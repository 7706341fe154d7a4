"""Finds out whether a requirements file refers to local files. Pure, except that it reads the lists that it includes.

Only a requirement that is certainly on an index or at a network address counts as remote; anything else, above all any
spelling of a path, counts as a part of the repository.
"""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from packaging.requirements import InvalidRequirement, Requirement

ARCHIVE_SUFFIXES = (
    ".whl",
    ".zip",
    ".tar",
    ".tgz",
    ".tbz",
    ".txz",
    ".tlz",
    ".gz",
    ".bz2",
    ".xz",
    ".lz",
    ".lzma",
    ".egg",
)
"""pip treats names with these suffixes as files if they exist."""
REMOTE = re.compile(r"(git\+)?(https?|ssh)://", re.IGNORECASE)
COMMENT = re.compile(r"(^|\s+)#.*$")


class LocalRequirement(Exception):
    """A line refers to a file of the repository, or cannot be understood."""


class _Options(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise LocalRequirement(message)


OPTIONS = _Options(add_help=False, allow_abbrev=False, exit_on_error=False)
OPTIONS.add_argument("-r", "--requirement", "-c", "--constraint", dest="lists", action="append", default=[])
OPTIONS.add_argument(
    "-i", "--index-url", "--extra-index-url", "-f", "--find-links", dest="addresses", action="append", default=[]
)
for name in ("--hash", "--trusted-host", "--no-binary", "--only-binary"):
    OPTIONS.add_argument(name)
for name in ("--pre", "--no-index", "--prefer-binary", "--require-hashes"):
    OPTIONS.add_argument(name, action="store_true")


def expand_lists(text: str, folder: Path) -> str:
    """Return `text` and all lists that it includes by `-r` or `-c`, relative to `folder`. Raises LocalRequirement."""
    return "\n".join(_iterate_lists(text, folder, frozenset()))


def _iterate_lists(text: str, folder: Path, seen: frozenset[Path]) -> Iterator[str]:
    yield text
    for line in logical_lines(text):
        for name in referenced_lists(line):
            file = (folder / name).resolve()
            if REMOTE.match(name) or file in seen:
                continue
            if not file.is_file():
                raise LocalRequirement(name)
            yield from _iterate_lists(file.read_text(errors="replace"), file.parent, seen | {file})


def logical_lines(text: str) -> Iterator[str]:
    """Lines as pip reads them: joined after a backslash, without comments."""
    for line in text.replace("\\\n", "").splitlines():
        if stripped := COMMENT.sub("", line).strip():
            yield stripped


def referenced_lists(line: str) -> list[str]:
    """Return the lists that `line` includes. Raises LocalRequirement."""
    requirement, options = _split_options(line)
    if requirement and not is_remote(requirement):
        raise LocalRequirement(line)
    if not all(REMOTE.match(address) for address in options.addresses):
        raise LocalRequirement(line)
    return list(options.lists)


def _split_options(line: str) -> tuple[str, Namespace]:
    """Split a requirement from its options, which start at the first word with a dash."""
    if "${" in line:
        raise LocalRequirement(line)
    words = re.split(r"(?:^|\s+)(?=-)", line, maxsplit=1)
    try:
        options, unknown = OPTIONS.parse_known_args(shlex.split(words[1] if len(words) > 1 else ""))
    except (ArgumentError, ValueError) as error:
        raise LocalRequirement(line) from error
    if unknown:
        raise LocalRequirement(line)
    return words[0], options


def is_remote(text: str) -> bool:
    """Whether a requirement is a package of an index or a network address."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return REMOTE.match(text) is not None
    return (
        REMOTE.match(requirement.url) is not None
        if requirement.url
        else not requirement.name.lower().endswith(ARCHIVE_SUFFIXES)
    )
