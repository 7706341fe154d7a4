"""Which tag of a repository is followed: the newest one that matches a pattern. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from packaging.version import InvalidVersion, Version

TAG_PREFIX = "refs/tags/"
ALL_TAGS = f"{TAG_PREFIX}*"
"""For `git ls-remote`, which takes minutes to match many stars, and lists what annotated tags name as well."""
PEELED = "^{}"
"""Behind the name of an annotated tag, in a listing: the commit that it names."""
WILDCARDS = re.compile(r"[*?]")


def find_newest_tag(pattern: str, tags: Iterable[str]) -> str | None:
    """Versions are newer than other names; versions are ordered by PEP 440, other names as texts."""
    matching = [tag for tag in tags if fnmatchcase(tag, pattern)]
    prefix = WILDCARDS.split(pattern)[0]
    versions = {tag: version for tag in matching if (version := parse_version(tag, prefix)) is not None}
    if versions:
        return max(versions, key=lambda tag: (versions[tag], tag))
    return max(matching, default=None)


def parse_version(tag: str, prefix: str) -> Version | None:
    """Of the whole name, else of what follows `prefix`: `v1.2`, `release-1.2`. None for another name."""
    for text in (tag, tag.removeprefix(prefix)):
        try:
            return Version(text)
        except InvalidVersion:
            continue
    return None


def parse_tags(listing: str) -> dict[str, str]:
    """The tags in the output of `git ls-remote`, with the commits that they name."""
    commits: dict[str, str] = {}
    for line in listing.splitlines():
        commit, _, ref = line.partition("\t")
        if ref.startswith(TAG_PREFIX):
            name = ref.removeprefix(TAG_PREFIX)
            if name.endswith(PEELED):
                commits[name.removesuffix(PEELED)] = commit
            else:
                commits.setdefault(name, commit)
    return commits
