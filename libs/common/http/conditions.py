"""Conditions that a request makes (RFC 9110, section 13), decided from its headers and what is there. Pure."""

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
    """What is there now: its entity tag, without quotes, and the time of its last change in epoch seconds."""

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
        """None when the header is not there. Raises Malformed, naming it, when it is no list of tags."""
        if header is None:
            return None
        if header.strip() == "*":
            return cls(True, frozenset(), frozenset())
        if not TAGS.fullmatch(header):
            raise Malformed(f'{name}: write * or entity tags in quotes, such as "33a64df5"')
        found = TAG.findall(header)
        return cls(
            False, frozenset(tag for weak, tag in found if not weak), frozenset(tag for weak, tag in found if weak)
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
        """Raises Malformed for what is no list of entity tags; a date that cannot be read is no condition."""
        return cls(
            EntityTags.parse("If-Match", headers.get("if-match")),
            EntityTags.parse("If-None-Match", headers.get("if-none-match")),
            _parse_date(headers.get("if-unmodified-since")),
            _parse_date(headers.get("if-modified-since")),
        )

    def is_other_version(self, current: Version | None) -> bool:
        """Whether the sender means another version than `now` (None: nothing is there)."""
        if self.match is not None:
            return not self.match.matches(current, strong=True)
        since = self.unmodified_since
        return (
            since is not None and current is not None and current.modified is not None and int(current.modified) > since
        )

    def is_known_version(self, current: Version | None) -> bool:
        """Whether the sender has `now` already, or asked for nothing to be there."""
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
        """Whether what may be written depends on what is there."""
        return (self.match, self.none_match, self.unmodified_since) != (None, None, None)

    def check_write(self, current: Version | None) -> None:
        """Raises PreconditionFailed unless `now` may be changed. If-Modified-Since is for reading alone."""
        if self.is_other_version(current):
            raise PreconditionFailed(_mismatch_message(current))
        if self.none_match is not None and self.is_known_version(current):
            raise PreconditionFailed("If-None-Match: the file is there, in a version that is named")

    def check_read(self, current: Version) -> None:
        """Raises PreconditionFailed when the sender wants another version."""
        if self.is_other_version(current):
            raise PreconditionFailed(_mismatch_message(current))


def _mismatch_message(current: Version | None) -> str:
    return (
        "there is no such file"
        if current is None
        else f'the file is another version by now: its ETag is "{current.etag}"'
    )


def _parse_date(header: str | None) -> float | None:
    try:
        return None if header is None else parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
