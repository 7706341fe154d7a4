"""Python requirements of a repository: what pip installs, and which files it ignores. Pure.

`requirements.txt` has precedence. Without it, pip installs the dependencies in `[project]` of `pyproject.toml`: enough
for a repository that runs from its own folder. Otherwise pip installs the repository itself as a package (Poetry,
`setup.py`, a `src/` folder, any build backend of PEP 517).
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
"""Files whose text is read; of other files only the existence matters."""
RELEVANT_PATTERNS = ("*", "src/*.py", "src/*/*.py")
"""Patterns of the relevant paths."""
ADVICE = f"write what the components import into {REQUIREMENTS_FILE}"
UNSUPPORTED_FILES = {
    "Pipfile": f"Pipfile is not installed; {ADVICE}, for example with: pipenv requirements > {REQUIREMENTS_FILE}",
    "environment.yml": f"environment.yml is not installed; {ADVICE}, as pip names it",
    "environment.yaml": f"environment.yaml is not installed; {ADVICE}, as pip names it",
}


class InvalidProject(ValueError):
    """`pyproject.toml` violates the packaging standards."""


@dataclass(frozen=True)
class Requirements:
    """`text` of a requirements file, if any; `installs_repository`: pip installs the repository itself."""

    text: str | None = None
    installs_repository: bool = False


def find_requirements(files: Mapping[str, bytes]) -> Requirements:
    """The requirements of a repository with these paths; PARSED_FILES need their content. Raises InvalidProject."""
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


def list_static_dependencies(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """The dependencies of `[project]`; none when only a build determines them. Raises InvalidProject."""
    table = _get_table(_parse_pyproject(files), "project")
    is_dynamic = "dependencies" in _get_list(table, "dynamic", "[project] dynamic")
    return () if is_dynamic else tuple(_get_list(table, "dependencies", "[project] dependencies"))


def read_python_range(files: Mapping[str, bytes]) -> str:
    """`requires-python` of the project, empty without one. Raises InvalidProject."""
    version_range = _get_table(_parse_pyproject(files), "project").get("requires-python", "")
    return version_range if isinstance(version_range, str) else ""


def is_relevant_path(path: str) -> bool:
    """Whether a path matches one of RELEVANT_PATTERNS."""
    return any(
        path.count("/") == pattern.count("/") and PurePosixPath(path).match(pattern) for pattern in RELEVANT_PATTERNS
    )


def check_requirements(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Warnings for requirements that are ignored, and for code that is not importable."""
    try:
        requirements, project = find_requirements(files), _parse_pyproject(files)
        poetry = _uses_poetry(project)
    except InvalidProject as error:
        yield Problem(PYPROJECT_FILE, 1, 1, f"{error}; components that run as processes cannot start", "warning")
        return
    if requirements.text is None and not requirements.installs_repository:
        yield from (
            Problem(name, 1, 1, message, "warning") for name, message in UNSUPPORTED_FILES.items() if name in files
        )
        if poetry:
            message = (
                f"a Poetry project is installed only with [build-system], and not with package-mode = false; {ADVICE}"
            )
            yield Problem(PYPROJECT_FILE, 1, 1, message, "warning")
        elif "dependency-groups" in project:
            message = (
                "[dependency-groups] are not installed; write what the components import into dependencies of [project]"
            )
            yield Problem(PYPROJECT_FILE, 1, 1, message, "warning")
    if not requirements.installs_repository and has_src_layout(files) and not _requires_itself(requirements.text):
        message = f'code below src/ cannot be imported until it is installed; add a line "." to {REQUIREMENTS_FILE}'
        yield Problem(
            "src",
            1,
            1,
            message if REQUIREMENTS_FILE in files else f"{message}, with a {PYPROJECT_FILE} that has [project]",
            "warning",
        )


def has_src_layout(files: Mapping[str, bytes]) -> bool:
    """Whether the importable code is in `src/`."""
    return "src/__init__.py" not in files and any(path.startswith("src/") and path.endswith(".py") for path in files)


def _requires_itself(lines: str | None) -> bool:
    local = (".", "./", "-e", "--editable", "file:")
    return any(line.strip().startswith(local) for line in (lines or "").splitlines())


def _needs_build(table: Mapping[str, Any], files: Mapping[str, bytes]) -> bool:
    """Whether only a build determines the dependencies, or makes the code importable."""
    return "dependencies" in _get_list(table, "dynamic", "[project] dynamic") or has_src_layout(files)


def _dependency_lines(table: Mapping[str, Any]) -> str | None:
    dependencies = _get_list(table, "dependencies", "[project] dependencies")
    return "".join(f"{line}\n" for line in dependencies) if dependencies else None


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
        raise InvalidProject(f"{PYPROJECT_FILE} cannot be parsed: {error}") from error


def _get_table(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = parent.get(name, {})
    if not isinstance(table, Mapping):
        raise InvalidProject(f"{PYPROJECT_FILE}: {name} must be a table, written as [{name}]")
    return table


def _get_list(table: Mapping[str, Any], name: str, label: str) -> list[str]:
    items = table.get(name, [])
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise InvalidProject(f'{PYPROJECT_FILE}: {label} must be a list of strings, for example ["numpy>=2"]')
    return items
