"""Values of Secrets that come from files or environment variables of the registry's host (MLMESH_SECRET_SOURCES).

The operator names the source of each such Secret, and so nobody else can make the mesh read a file or a variable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from libs.common.settings import PREFIX
from services.registry.secrets.new_values import MAX_VALUE


@dataclass(frozen=True)
class SourceValues:
    values: Mapping[str, str]
    problems: tuple[str, ...]
    """A sentence for each key that has no value there."""


def find_source(sources: Mapping[str, str], app: str, name: str) -> str | None:
    """`file:/FOLDER` or `env:PREFIX`, if the operator has named one for this Secret."""
    return sources.get(f"{app}/{name}")


def read_source(source: str, keys: Iterable[str], environ: Mapping[str, str]) -> SourceValues:
    """`file:/FOLDER` has a file of each key's name, `env:PREFIX` a variable of that name behind the prefix."""
    kind, _, place = source.partition(":")
    values, problems = {}, []
    for key in keys:
        try:
            values[key] = _read_file(Path(place) / key) if kind == "file" else _read_variable(place + key, environ)
        except ValueError as error:
            problems.append(str(error))
    return SourceValues(values, tuple(problems))


def _read_variable(name: str, environ: Mapping[str, str]) -> str:
    if name.startswith(PREFIX):
        raise ValueError(f"{name} is a setting of the mesh, and never a value")
    if name not in environ:
        raise ValueError(f"the registry has no environment variable {name}")
    return environ[name]


def _read_file(path: Path) -> str:
    """Without the line break at its end. A link may lead elsewhere, as those of mounted volumes do."""
    if not path.is_file():  # a pipe would block
        raise ValueError(f"there is no file {path}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_VALUE + 1)
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_VALUE:
        raise ValueError(f"{path} is longer than {MAX_VALUE} bytes")
    return text.removesuffix("\n")
