"""Conditional requests (RFC 9110, section 13). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self

from libs.common.errors import Malformed, PreconditionFailed

_TAG = r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
TAG = re.compile(_TAG)
TAGS = re.compile(rf"[\s,]*{_TAG}(?:\s*,[\s,]*{_TAG})*[\s,]*")


@dataclass(frozen=True)
class Version:
    """The current representation: its entity tag, without quotes, and its last modification in epoch seconds."""

    etag: str
    modified: float | None = None


@dataclass(frozen=True)
class EntityTags:
    """A list of entity tags, or `*`."""

    any: bool
    strong: frozenset[str]
    weak: frozenset[str]

    @classmethod
    def parse(cls, name: str, header: str | None) -> Self | None:
        """None for a missing header. Raises Malformed with the header's name if it is not a list of tags."""
        if header is None:
            return None
        if header.strip() == "*":
            return cls(True, frozenset(), frozenset())
        if not TAGS.fullmatch(header):
            raise Malformed(f'{name}: write * or entity tags in quotes, such as "33a64df5"')
        tags = TAG.findall(header)
        return cls(
            False, frozenset(tag for weak, tag in tags if not weak), frozenset(tag for weak, tag in tags if weak)
        )

    def matches(self, current: Version | None, *, strong: bool) -> bool:
        if current is None:
            return False
        return self.any or current.etag in self.strong or (not strong and current.etag in self.weak)


@dataclass(frozen=True)
class Conditions:
    match: EntityTags | None = None
    none_match: EntityTags | None = None
    unmodified_since: float | None = None
    modified_since: float | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Self:
        """Raises Malformed for an invalid list of entity tags; ignores an invalid date."""
        return cls(
            EntityTags.parse("If-Match", headers.get("if-match")),
            EntityTags.parse("If-None-Match", headers.get("if-none-match")),
            _parse_date(headers.get("if-unmodified-since")),
            _parse_date(headers.get("if-modified-since")),
        )

    def is_other_version(self, current: Version | None) -> bool:
        """Whether the client requires another version than `current` (None: no file exists)."""
        if self.match is not None:
            return not self.match.matches(current, strong=True)
        since = self.unmodified_since
        return (
            since is not None and current is not None and current.modified is not None and int(current.modified) > since
        )

    def is_known_version(self, current: Version | None) -> bool:
        """Whether the client has `current` already, or requires that no file exists."""
        if self.none_match is not None:
            return self.none_match.matches(current, strong=False)
        since = self.modified_since
        return (
            since is not None
            and current is not None
            and current.modified is not None
            and int(current.modified) <= since
        )

    @property
    def guards_writes(self) -> bool:
        """Whether a write depends on the current version."""
        return (self.match, self.none_match, self.unmodified_since) != (None, None, None)

    def check_write(self, current: Version | None) -> None:
        """Raises PreconditionFailed unless `current` may be changed. If-Modified-Since applies to reads only."""
        if self.is_other_version(current):
            raise PreconditionFailed(_mismatch_message(current))
        if self.none_match is not None and self.is_known_version(current):
            raise PreconditionFailed("If-None-Match: the file exists in one of these versions")

    def check_read(self, current: Version) -> None:
        """Raises PreconditionFailed if the client requires another version."""
        if self.is_other_version(current):
            raise PreconditionFailed(_mismatch_message(current))


def _mismatch_message(current: Version | None) -> str:
    return "the file does not exist" if current is None else f'the file has changed: its ETag is "{current.etag}"'


def _parse_date(header: str | None) -> float | None:
    try:
        return None if header is None else parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
