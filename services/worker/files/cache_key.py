"""Cache key of a stage: a hash of everything that determines its outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from libs.common.protocol.stage import StageSpec

CHUNK = 1 << 20


def stage_cache_key(spec: StageSpec, image_id: str | None, paths: Mapping[str, Path], *, commit: str | None) -> str:
    """`image_id`: the exact image. `commit`: None if the image holds the program. Secrets count by name, not by value.

    The order of secrets counts: for a key that two of them have, the later value wins.
    """
    parts: dict[str, object] = {
        "image": image_id,
        "commit": commit,
        "command": spec.entry_point,
        "env": spec.env,
        "secrets": spec.secrets,
        "stage": spec.stage,
        "inputs": {variable.name: hash_path(paths[variable.name]) for variable in spec.inputs},
        "outputs": sorted(variable.name for variable in spec.outputs),
    }
    if spec.env_from:  # values of ConfigMaps
        parts["env_from"] = [source.to_json() for source in spec.env_from]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def hash_path(path: Path) -> str:
    """Hash a file with its name, or all files below a folder."""
    if path.is_file():
        return hash_files({path.name: hash_file(path)}.items())
    files = (file for file in path.rglob("*") if file.is_file())
    return hash_files((file.relative_to(path).as_posix(), hash_file(file)) for file in files)


def hash_files(digests: Iterable[tuple[str, str]]) -> str:
    """Hash names and SHA-256 of files."""
    return hashlib.sha256(orjson.dumps(sorted(digests))).hexdigest()


def hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
