"""Preconditions of a write: `If-Match` and its like, and `overwrite`. Pure."""

from __future__ import annotations

from libs.common.errors import Malformed
from libs.common.http.conditions import Conditions, Version
from services.databox.files.uploads import ReplaceCheck
from services.databox.store import ExpectedVersion, Stat


class FileExists(Malformed):
    """the file exists; add ?overwrite=true to replace it"""


def stat_version(stat: Stat | None) -> Version | None:
    return None if stat is None else Version(stat.etag, stat.modified)


def build_replace_check(conditions: Conditions, *, overwrite: bool) -> ReplaceCheck:
    """A check that an existing file is replaced only with `overwrite`, or if `If-Match` names its version.

    The check raises FileExists, PreconditionFailed.
    """

    def check_replace(old: Stat | None) -> ExpectedVersion | None:
        conditions.check_write(stat_version(old))
        if old is not None and not overwrite and conditions.match is None:
            raise FileExists
        return None if overwrite and not conditions.guards_writes else ExpectedVersion.from_stat(old)

    return check_replace
