"""Which Python packages a repository asks for: what is installed of it, and what in it nobody reads. Pure.

`requirements.txt` says all when it is there. Else `[project]` of `pyproject.toml`, whose dependencies are enough for a
repository that is run from its own folder. Else the repository is a package (Poetry, `setup.py`, a `src/` folder, any
build backend of PEP 517), and pip installs it whole.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from libs.common.manifests.problems import Problem

LIST, PROJECT, SETUP = "requirements.txt", "pyproject.toml", "setup.py"
READ = (LIST, PROJECT)
"""Files whose text matters; of all others it is enough that they are there."""
LISTED = ("*", "src/*.py", "src/*/*.py")
"""Patterns of the paths that matter."""
INSTEAD = f"write what the components import into {LIST}"
UNREAD = {
    "Pipfile": f"Pipfile is not installed; {INSTEAD}, for example with: pipenv requirements > {LIST}",
    "environment.yml": f"environment.yml is not installed; {INSTEAD}, as pip names it",
    "environment.yaml": f"environment.yaml is not installed; {INSTEAD}, as pip names it",
}


class Unfit(ValueError):
    """`pyproject.toml` is not what the packaging standards say."""


@dataclass(frozen=True)
class Packages:
    """`lines` is the text of a requirements file, if any; `whole`: the repository itself is installed."""

    lines: str | None = None
    whole: bool = False


def packages(files: Mapping[str, bytes]) -> Packages:
    """What is installed for a repository with these paths; texts are needed of those in READ. Raises Unfit."""
    if LIST in files:
        return Packages(files[LIST].decode(errors="replace"))
    project = _project(files)
    table = _table(project, "project")
    if "project" in project and not _is_built(table, files):
        return Packages(_lines(table))
    return Packages(whole="project" in project or _has_backend(project) or (SETUP in files and not _poetry(project)))


def matters(path: str) -> bool:
    """Whether a path of a repository is one of LISTED."""
    return any(path.count("/") == one.count("/") and PurePosixPath(path).match(one) for one in LISTED)


def unread(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """A warning for every file that asks for packages in vain, and for code that nothing makes importable."""
    try:
        found, project = packages(files), _project(files)
        poetry = _poetry(project)
    except Unfit as error:
        yield Problem(PROJECT, 1, 1, f"{error}; components that run as processes cannot start", "warning")
        return
    if found.lines is None and not found.whole:
        yield from (Problem(name, 1, 1, said, "warning") for name, said in UNREAD.items() if name in files)
        if poetry:
            said = (
                f"a Poetry project is installed only with [build-system], and not with package-mode = false; {INSTEAD}"
            )
            yield Problem(PROJECT, 1, 1, said, "warning")
        elif "dependency-groups" in project:
            said = (
                "[dependency-groups] are not installed; write what the components import into dependencies of [project]"
            )
            yield Problem(PROJECT, 1, 1, said, "warning")
    if not found.whole and has_sources(files) and not _names_itself(found.lines):
        said = f'code below src/ cannot be imported until it is installed; add a line "." to {LIST}'
        yield Problem("src", 1, 1, said if LIST in files else f"{said}, with a {PROJECT} that has [project]", "warning")


def has_sources(files: Mapping[str, bytes]) -> bool:
    """Whether the importable code lies below `src/`."""
    return "src/__init__.py" not in files and any(path.startswith("src/") and path.endswith(".py") for path in files)


def _names_itself(lines: str | None) -> bool:
    local = (".", "./", "-e", "--editable", "file:")
    return any(line.strip().startswith(local) for line in (lines or "").splitlines())


def _is_built(table: Mapping[str, Any], files: Mapping[str, bytes]) -> bool:
    """Whether only a build tells the dependencies, or makes the code importable."""
    return "dependencies" in _list(table, "dynamic", "[project] dynamic") or has_sources(files)


def _lines(table: Mapping[str, Any]) -> str | None:
    found = _list(table, "dependencies", "[project] dependencies")
    return "".join(f"{line}\n" for line in found) if found else None


def _has_backend(project: Mapping[str, Any]) -> bool:
    return "build-system" in project and _table(_table(project, "tool"), "poetry").get("package-mode") is not False


def _poetry(project: Mapping[str, Any]) -> bool:
    return "poetry" in _table(project, "tool")


def _project(files: Mapping[str, bytes]) -> Mapping[str, Any]:
    try:
        return tomllib.loads(files.get(PROJECT, b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unfit(f"{PROJECT} cannot be read: {error}") from error


def _table(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parent.get(name, {})
    if not isinstance(found, Mapping):
        raise Unfit(f"{PROJECT}: {name} must be a table, written as [{name}]")
    return found


def _list(table: Mapping[str, Any], name: str, shown: str) -> list[str]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Unfit(f'{PROJECT}: {shown} must be a list of texts, for example ["numpy>=2"]')
    return found
