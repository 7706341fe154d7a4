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

REQUIREMENTS_FILE, PYPROJECT_FILE, SETUP_FILE = "requirements.txt", "pyproject.toml", "setup.py"
PARSED_FILES = (REQUIREMENTS_FILE, PYPROJECT_FILE)
"""Files whose text matters; of all others it is enough that they are there."""
RELEVANT_PATTERNS = ("*", "src/*.py", "src/*/*.py")
"""Patterns of the paths that matter."""
ADVICE = f"write what the components import into {REQUIREMENTS_FILE}"
UNSUPPORTED_FILES = {
    "Pipfile": f"Pipfile is not installed; {ADVICE}, for example with: pipenv requirements > {REQUIREMENTS_FILE}",
    "environment.yml": f"environment.yml is not installed; {ADVICE}, as pip names it",
    "environment.yaml": f"environment.yaml is not installed; {ADVICE}, as pip names it",
}


class InvalidProject(ValueError):
    """`pyproject.toml` is not what the packaging standards say."""


@dataclass(frozen=True)
class Requirements:
    """`lines` is the text of a requirements file, if any; `whole`: the repository itself is installed."""

    text: str | None = None
    installs_repository: bool = False


def find_requirements(files: Mapping[str, bytes]) -> Requirements:
    """What is installed for a repository with these paths; texts are needed of those in READ. Raises Unfit."""
    if REQUIREMENTS_FILE in files:
        return Requirements(files[REQUIREMENTS_FILE].decode(errors="replace"))
    project = _parse_pyproject(files)
    table = _get_table(project, "project")
    if "project" in project and not _needs_build(table, files):
        return Requirements(_dependency_lines(table))
    return Requirements(
        installs_repository="project" in project
        or _has_build_backend(project)
        or (SETUP_FILE in files and not _uses_poetry(project))
    )


def is_relevant_path(path: str) -> bool:
    """Whether a path of a repository is one of LISTED."""
    return any(path.count("/") == one.count("/") and PurePosixPath(path).match(one) for one in RELEVANT_PATTERNS)


def check_requirements(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """A warning for every file that asks for packages in vain, and for code that nothing makes importable."""
    try:
        found, project = find_requirements(files), _parse_pyproject(files)
        poetry = _uses_poetry(project)
    except InvalidProject as error:
        yield Problem(PYPROJECT_FILE, 1, 1, f"{error}; components that run as processes cannot start", "warning")
        return
    if found.text is None and not found.installs_repository:
        yield from (Problem(name, 1, 1, said, "warning") for name, said in UNSUPPORTED_FILES.items() if name in files)
        if poetry:
            said = (
                f"a Poetry project is installed only with [build-system], and not with package-mode = false; {ADVICE}"
            )
            yield Problem(PYPROJECT_FILE, 1, 1, said, "warning")
        elif "dependency-groups" in project:
            said = (
                "[dependency-groups] are not installed; write what the components import into dependencies of [project]"
            )
            yield Problem(PYPROJECT_FILE, 1, 1, said, "warning")
    if not found.installs_repository and has_src_layout(files) and not _requires_itself(found.text):
        said = f'code below src/ cannot be imported until it is installed; add a line "." to {REQUIREMENTS_FILE}'
        yield Problem(
            "src",
            1,
            1,
            said if REQUIREMENTS_FILE in files else f"{said}, with a {PYPROJECT_FILE} that has [project]",
            "warning",
        )


def has_src_layout(files: Mapping[str, bytes]) -> bool:
    """Whether the importable code lies below `src/`."""
    return "src/__init__.py" not in files and any(path.startswith("src/") and path.endswith(".py") for path in files)


def _requires_itself(lines: str | None) -> bool:
    local = (".", "./", "-e", "--editable", "file:")
    return any(line.strip().startswith(local) for line in (lines or "").splitlines())


def _needs_build(table: Mapping[str, Any], files: Mapping[str, bytes]) -> bool:
    """Whether only a build tells the dependencies, or makes the code importable."""
    return "dependencies" in _get_list(table, "dynamic", "[project] dynamic") or has_src_layout(files)


def _dependency_lines(table: Mapping[str, Any]) -> str | None:
    found = _get_list(table, "dependencies", "[project] dependencies")
    return "".join(f"{line}\n" for line in found) if found else None


def _has_build_backend(project: Mapping[str, Any]) -> bool:
    return (
        "build-system" in project and _get_table(_get_table(project, "tool"), "poetry").get("package-mode") is not False
    )


def _uses_poetry(project: Mapping[str, Any]) -> bool:
    return "poetry" in _get_table(project, "tool")


def _parse_pyproject(files: Mapping[str, bytes]) -> Mapping[str, Any]:
    try:
        return tomllib.loads(files.get(PYPROJECT_FILE, b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidProject(f"{PYPROJECT_FILE} cannot be read: {error}") from error


def _get_table(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parent.get(name, {})
    if not isinstance(found, Mapping):
        raise InvalidProject(f"{PYPROJECT_FILE}: {name} must be a table, written as [{name}]")
    return found


def _get_list(table: Mapping[str, Any], name: str, shown: str) -> list[str]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InvalidProject(f'{PYPROJECT_FILE}: {shown} must be a list of texts, for example ["numpy>=2"]')
    return found
