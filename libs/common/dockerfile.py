"""The Dockerfile of a folder that has none: from its requirements to a function that can be imported. Pure.

What changes rarely comes first, so that a change of the code alone reinstalls nothing: Debian packages, then what
`requirements.txt`, `uv.lock` or `pyproject.toml` names, then the folder itself.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from libs.common.python_packages import (
    PYPROJECT_FILE,
    REQUIREMENTS_FILE,
    find_requirements,
    list_static_dependencies,
    read_python_range,
)
from libs.common.requirement_lists import LocalRequirement, logical_lines, referenced_lists

DOCKERFILE: Final = "Dockerfile"
PACKAGES_FILE: Final = "apt.txt"
VERSION_FILE: Final = ".python-version"
LOCK_FILE: Final = "uv.lock"
READ_FILES: Final = (REQUIREMENTS_FILE, PYPROJECT_FILE, PACKAGES_FILE, VERSION_FILE)
"""Files whose text decides; of other files only the existence matters."""
UNREAD_LOCKS: Final = {
    "poetry.lock": f"poetry.lock is not read; write what it pins with: poetry export --output {REQUIREMENTS_FILE}",
    "Pipfile": f"Pipfile is not read; write what it pins with: pipenv requirements > {REQUIREMENTS_FILE}",
    "environment.yml": f"environment.yml is not read; write what it lists into {REQUIREMENTS_FILE}, as pip names it",
    "environment.yaml": f"environment.yaml is not read; write what it lists into {REQUIREMENTS_FILE}, as pip names it",
}
PYTHON_VERSIONS: Final = ("3.12", "3.13", "3.11", "3.14", "3.10", "3.9")
"""The first that the project takes is used."""
VERSION: Final = re.compile(r"(?:python-|cpython-)?(\d+\.\d+(?:\.\d+)?)")
PYTHON_FIELD: Final = "{python}"
"""Stands for the version in the name of a base image."""
USER: Final = 10001
FOLDER: Final = "/app"
ENVIRONMENT: Final = "/opt/venv"
"""The virtual environment that uv fills."""
PIP: Final = "python3 -m pip install"
PIP_CACHE, UV_CACHE = "/root/.cache/pip", "/root/.cache/uv"
CONFIG_KEYS: Final = {"pip.conf": "PIP_CONFIG_FILE", "netrc": "NETRC"}
"""Keys of build secrets that pip reads by itself, with the variable that names the file."""
CUDA_PACKAGE: Final = re.compile(r"^torch(?![\w-])", re.IGNORECASE)
CPU_INDEX: Final = "download.pytorch.org/whl/cpu"
CUDA_WARNING: Final = (
    f"{REQUIREMENTS_FILE} installs torch with the libraries of CUDA, some GB, but resources.gpu is 0; "
    f"add the line --extra-index-url https://{CPU_INDEX}"
)


class UnwritableDockerfile(ValueError):
    """No Dockerfile can be written for the folder; the message says what to do."""


@dataclass(frozen=True)
class Recipe:
    """What a manifest and the mesh say about a Dockerfile that is written."""

    base: str
    """The image to begin with; `{python}` stands for the version of Python."""
    packages: Sequence[str] = ()
    secrets: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The keys of each secret, which the installation can read below /run/secrets."""
    mounts: bool = True
    """Whether the engine's builder has caches and secrets (BuildKit)."""


def write_dockerfile(files: Mapping[str, bytes], recipe: Recipe) -> str:
    """`files`: the folder's, by path; those in READ_FILES need their content.

    Raises UnwritableDockerfile, and InvalidProject for a broken pyproject.toml.
    """
    if (obstacle := find_obstacle(files)) is not None:
        raise UnwritableDockerfile(obstacle)
    packages = [*recipe.packages, *_read_lines(files, PACKAGES_FILE)]
    lines = [
        f"# Written by mlmesh: the folder has no {DOCKERFILE}.",
        f"FROM {recipe.base.replace(PYTHON_FIELD, choose_python(files))}",
        "ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PIP_ROOT_USER_ACTION=ignore",
        *_install_packages(packages),
        f"WORKDIR {FOLDER}",
        *_install_requirements(files, recipe),
        "ENV HOME=/tmp PYTHONUNBUFFERED=1",
        f"USER {USER}",
    ]
    return "".join(f"{line}\n" for line in lines)


def find_obstacle(files: Mapping[str, bytes]) -> str | None:
    """Why no Dockerfile can be written: packages stand only in a file that neither pip nor uv reads."""
    if REQUIREMENTS_FILE in files or LOCK_FILE in files:
        return None
    return next((message for name, message in UNREAD_LOCKS.items() if name in files), None)


def installs_cuda(files: Mapping[str, bytes]) -> bool:
    """Whether requirements.txt brings torch from the index whose packages contain CUDA."""
    text = files.get(REQUIREMENTS_FILE, b"").decode(errors="replace")
    return CPU_INDEX not in text and any(CUDA_PACKAGE.match(line) for line in logical_lines(text))


def choose_python(files: Mapping[str, bytes]) -> str:
    """The version of Python: of `.python-version`, else the first of PYTHON_VERSIONS that `requires-python` takes."""
    named = VERSION.fullmatch(next(iter(_read_lines(files, VERSION_FILE)), ""))
    if named is not None:
        return named[1]
    try:
        accepted = SpecifierSet(read_python_range(files))
    except InvalidSpecifier:
        return PYTHON_VERSIONS[0]
    # a later patch release stands for the minor version: `>=3.11.4` takes 3.11
    return next((version for version in PYTHON_VERSIONS if accepted.contains(f"{version}.99")), PYTHON_VERSIONS[0])


def _read_lines(files: Mapping[str, bytes], name: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in files.get(name, b"").decode(errors="replace").splitlines())
    return [line for line in lines if line]


def _install_packages(packages: Sequence[str]) -> Iterator[str]:
    if packages:
        names = " ".join(shlex.quote(name) for name in dict.fromkeys(packages))
        yield (
            f"RUN apt-get update && apt-get install --yes --no-install-recommends {names}"
            " && rm -rf /var/lib/apt/lists/*"
        )


def _install_requirements(files: Mapping[str, bytes], recipe: Recipe) -> Iterator[str]:
    copy_all = "COPY . ."
    requirements = find_requirements(files)
    if REQUIREMENTS_FILE in files:
        is_alone = _stands_alone(requirements.text or "")
        yield f"COPY {REQUIREMENTS_FILE} ./" if is_alone else copy_all
        yield _run(f"{PIP} --requirement {REQUIREMENTS_FILE}", PIP_CACHE, recipe)
        yield from [copy_all] if is_alone else []
    elif LOCK_FILE in files:
        yield from _install_locked(recipe, is_package=requirements.installs_repository)
    else:
        dependencies = list_static_dependencies(files)
        yield from [_run(f"{PIP} {shlex.join(dependencies)}", PIP_CACHE, recipe)] if dependencies else []
        yield copy_all
        if requirements.installs_repository:
            yield _run(f"{PIP} --no-deps ." if dependencies else f"{PIP} .", PIP_CACHE, recipe)


def _install_locked(recipe: Recipe, *, is_package: bool) -> Iterator[str]:
    sync = "uv sync --frozen --no-dev"
    yield f"ENV UV_PROJECT_ENVIRONMENT={ENVIRONMENT} UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never"
    yield _run(f"{PIP} uv", PIP_CACHE, recipe)
    yield f"COPY {PYPROJECT_FILE} {LOCK_FILE} ./"
    yield _run(f"{sync} --no-install-project", UV_CACHE, recipe)
    yield "COPY . ."
    if is_package:
        yield _run(f"{sync} --no-editable", UV_CACHE, recipe)
    yield f"ENV PATH={ENVIRONMENT}/bin:$PATH"


def _stands_alone(text: str) -> bool:
    """Whether requirements.txt names no other file of the folder, so that it can be copied without them."""
    try:
        return not any(referenced_lists(line) for line in logical_lines(text))
    except LocalRequirement:
        return False


def _run(command: str, cache: str, recipe: Recipe) -> str:
    if not recipe.mounts:
        return f"RUN {command}"
    files = [(f"{name}/{key}", key) for name, keys in sorted(recipe.secrets.items()) for key in sorted(keys)]
    mounts = [f"--mount=type=cache,target={cache}"]
    mounts += [f"--mount=type=secret,id={path},target=/run/secrets/{path},required=true" for path, _ in files]
    settings = [f"{CONFIG_KEYS[key]}=/run/secrets/{path}" for path, key in files if key in CONFIG_KEYS]
    return " ".join(["RUN", *mounts, *settings, command])
