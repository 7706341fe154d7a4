"""Which version of a file a request means, and whether it may be replaced. Pure."""

from __future__ import annotations

from libs.common.errors import Malformed
from libs.common.http.conditions import Conditions, Version
from services.databox.files.uploads import Judge
from services.databox.store import Only, Stat


class Exists(Malformed):
    """the file exists; add ?overwrite=true to replace it"""


def version(stat: Stat | None) -> Version | None:
    return None if stat is None else Version(stat.etag, stat.modified)


def judge(conditions: Conditions, *, overwrite: bool) -> Judge:
    """A file that is there stays, unless it may be overwritten or the request names it by `If-Match`.

    Raises Exists, PreconditionFailed.
    """

    def judged(old: Stat | None) -> Only | None:
        conditions.check_write(version(old))
        if old is not None and not overwrite and conditions.match is None:
            raise Exists
        return None if overwrite and not conditions.guard_writes else Only.of(old)

    return judged
