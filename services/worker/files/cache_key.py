"""What a stage is made of, by content: two with the same key would leave the same outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from services.worker.lease import Lease

CHUNK = 1 << 20


def key(lease: Lease, identity: str, paths: Mapping[str, Path], *, with_source: bool) -> str:
    """`identity`: exactly which image; `with_source`: the commit counts, too. Secrets count by name, not by value.

    Their order counts: of a key that two of them have, the later one's value is used.
    """
    spec = lease.spec
    inputs = {one["name"]: of_path(paths[one["name"]]) for one in spec["inputs"]}
    made_of = {
        "image": identity,
        "commit": lease.commit if with_source else None,
        "command": spec.get("entry_point"),
        "env": spec.get("env") or {},
        "secrets": spec.get("secrets") or [],
        "stage": spec["stage"],
        "inputs": inputs,
        "outputs": sorted(one["name"] for one in spec["outputs"]),
    }
    if sources := spec.get("env_from"):  # the values of ConfigMaps
        made_of["env_from"] = sources
    return hashlib.sha256(orjson.dumps(made_of, option=orjson.OPT_SORT_KEYS)).hexdigest()


def of_path(path: Path) -> str:
    """Of a file with its name, or of all files below a folder."""
    if path.is_file():
        return of_files({path.name: of_file(path)}.items())
    files = (one for one in path.rglob("*") if one.is_file())
    return of_files((one.relative_to(path).as_posix(), of_file(one)) for one in files)


def of_files(found: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the names and the SHA-256 of files."""
    return hashlib.sha256(orjson.dumps(sorted(found))).hexdigest()


def of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
