"""Lists the keys of a directory tree in the order of an S3 listing: by the bytes of the whole key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk_keys(root: Path, prefix: str, start_after: str) -> Iterator[str]:
    """Keys of regular files under `root` that begin with `prefix` and are greater than `after`."""
    folder = prefix[: prefix.rfind("/") + 1]
    if all(segment not in ("", ".", "..") for segment in folder.split("/")[:-1]):
        yield from _walk_folder(root, folder, os.fsencode(prefix), os.fsencode(start_after))


def _walk_folder(root: Path, folder: str, prefix: bytes, start_after: bytes) -> Iterator[str]:
    for name in _list_names(root / folder):
        key = os.fsencode(folder + name)
        if not key.startswith(prefix[: len(key)]) or key[: len(start_after)] < start_after[: len(key)]:
            continue
        if name.endswith("/"):
            yield from _walk_folder(root, folder + name, prefix, start_after)
        elif key.startswith(prefix) and key > start_after:
            yield folder + name


def _list_names(folder: Path) -> list[str]:
    """Names of folders end with `/`, so that they sort as their keys do."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in entries if _is_listable(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=os.fsencode)


def _is_listable(entry: os.DirEntry[str]) -> bool:
    """Skips names that are not UTF-8: no request can name them."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return False
    return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
