"""The folder that an image is built from: where it is, and what of it cannot be built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from services.worker.failures import TaskFailed

MAX_BYTES = 2 * 10**9
FAILURE = "build"


def find_context(checkout: Path, folder: str) -> Path:
    """The folder in the checkout. Raises TaskFailed if it is none, leads outside, or is too large."""
    context = checkout if folder == "." else checkout / folder
    if not context.is_dir() or not context.resolve().is_relative_to(checkout.resolve()):
        raise TaskFailed(FAILURE, f'there is no folder "{folder}" in the repository')
    total = 0
    for path in _iter_files(context):
        if path.is_symlink():
            _check_link(path, context)
        else:
            total += path.lstat().st_size
        if total > MAX_BYTES:
            raise TaskFailed(
                FAILURE,
                f'the folder "{folder}" has more than {MAX_BYTES / 1e9:g} GB; keep data in a DataBox, or build from a'
                " folder without it",
            )
    return context


def _iter_files(context: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(context):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        yield from (Path(parent, name) for name in (*links, *files))


def _check_link(link: Path, context: Path) -> None:
    if not link.resolve().is_relative_to(context.resolve()):
        name, target = link.relative_to(context), os.readlink(link)
        raise TaskFailed(FAILURE, f'{name} is a link to "{target}", outside of the folder that is built; copy the file')
