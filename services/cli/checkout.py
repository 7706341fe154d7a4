"""What a checkout's manifests declare, for commands that need no mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from services.cli.failure import Failure
from services.cli.validate import manifests

if TYPE_CHECKING:
    from libs.common.manifests import Manifest
    from libs.common.manifests.fields import Header

    Body = TypeVar("Body", bound=Header)


def named(kind: type[Body], name: str, folder: Path) -> tuple[Body, Sequence[Manifest[Header]]]:
    """The manifest of this kind and name, and all that were read with it. Raises Failure."""
    from libs.common.manifests import read_documents

    found, problems = read_documents(dict(manifests(folder)))
    known = {one.name: one.body for one in found if isinstance(one.body, kind)}
    if name not in known:
        why = f": {problems[0]}" if problems else f"; there are {', '.join(sorted(known)) or 'none'}"
        raise Failure(f"no {kind.__name__} {name!r} in {folder}{why}")
    return known[name], found
