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
class Tags:
    """A list of entity tags, or `*`."""

    any: bool
    strong: frozenset[str]
    weak: frozenset[str]

    @classmethod
    def of(cls, name: str, header: str | None) -> Self | None:
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

    def match(self, now: Version | None, *, strongly: bool) -> bool:
        if now is None:
            return False
        return self.any or now.etag in self.strong or (not strongly and now.etag in self.weak)


@dataclass(frozen=True)
class Conditions:
    match: Tags | None = None
    none_match: Tags | None = None
    unmodified_since: float | None = None
    modified_since: float | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self:
        """Raises Malformed for what is no list of entity tags; a date that cannot be read is no condition."""
        return cls(
            Tags.of("If-Match", headers.get("if-match")),
            Tags.of("If-None-Match", headers.get("if-none-match")),
            _epoch(headers.get("if-unmodified-since")),
            _epoch(headers.get("if-modified-since")),
        )

    def fail(self, now: Version | None) -> bool:
        """Whether the sender means another version than `now` (None: nothing is there)."""
        if self.match is not None:
            return not self.match.match(now, strongly=True)
        since = self.unmodified_since
        return since is not None and now is not None and now.modified is not None and int(now.modified) > since

    def know(self, now: Version | None) -> bool:
        """Whether the sender has `now` already, or asked for nothing to be there."""
        if self.none_match is not None:
            return self.none_match.match(now, strongly=False)
        since = self.modified_since
        return since is not None and now is not None and now.modified is not None and int(now.modified) <= since

    @property
    def guard_writes(self) -> bool:
        """Whether what may be written depends on what is there."""
        return (self.match, self.none_match, self.unmodified_since) != (None, None, None)

    def check_write(self, now: Version | None) -> None:
        """Raises PreconditionFailed unless `now` may be changed. If-Modified-Since is for reading alone."""
        if self.fail(now):
            raise PreconditionFailed(_another(now))
        if self.none_match is not None and self.know(now):
            raise PreconditionFailed("If-None-Match: the file is there, in a version that is named")

    def check_read(self, now: Version) -> None:
        """Raises PreconditionFailed when the sender wants another version."""
        if self.fail(now):
            raise PreconditionFailed(_another(now))


def _another(now: Version | None) -> str:
    return "there is no such file" if now is None else f'the file is another version by now: its ETag is "{now.etag}"'


def _epoch(header: str | None) -> float | None:
    try:
        return None if header is None else parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
