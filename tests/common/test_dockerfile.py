"""Dockerfiles that are written: each as a golden file, and what cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.common.dockerfile import (
    Recipe,
    UnwritableDockerfile,
    choose_python,
    installs_cuda,
    write_dockerfile,
)
from libs.common.python_packages import InvalidProject

GOLDEN = Path(__file__).parent / "dockerfiles"
SLIM = Recipe("python:{python}-slim")
PROJECT = b'[project]\nname = "leaf"\nversion = "1"\nrequires-python = ">=3.13"\ndependencies = ["numpy>=2", "httpx"]\n'
SECRETS = Recipe("debian:12", ("libgl1",), {"pip-login": ("pip.conf", "token"), "net": ("netrc",)})
CASES = {
    "nothing": ({"service.py": b""}, SLIM),
    "requirements": ({"requirements.txt": b"numpy>=2\n", "apt.txt": b"libgl1  # for OpenCV\n\n"}, SLIM),
    "local-requirements": ({"requirements.txt": b"-r base.txt\nnumpy\n", "base.txt": b""}, SLIM),
    "project": ({"pyproject.toml": PROJECT}, SLIM),
    "package": ({"pyproject.toml": PROJECT, "src/leaf/__init__.py": b""}, SLIM),
    "dynamic-package": ({"pyproject.toml": b'[project]\nname = "leaf"\ndynamic = ["dependencies"]\n'}, SLIM),
    "locked": ({"pyproject.toml": PROJECT, "uv.lock": b"", "poetry.lock": b""}, SLIM),
    "locked-package": ({"pyproject.toml": PROJECT, "uv.lock": b"", "src/leaf/__init__.py": b""}, SLIM),
    "secrets": ({"requirements.txt": b"numpy\n"}, SECRETS),
    "classic": ({"requirements.txt": b"numpy\n"}, Recipe("debian:12", mounts=False)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_dockerfile_is_written_as_it_was(name: str) -> None:
    files, recipe = CASES[name]
    assert write_dockerfile(files, recipe) == (GOLDEN / f"{name}.Dockerfile").read_text()


def test_every_golden_dockerfile_has_a_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("poetry.lock", "poetry.lock is not read; write what it pins with: poetry export --output requirements.txt"),
        ("Pipfile", "Pipfile is not read; write what it pins with: pipenv requirements > requirements.txt"),
        (
            "environment.yml",
            "environment.yml is not read; write what it lists into requirements.txt, as pip names it",
        ),
    ],
)
def test_a_lock_of_another_tool_says_what_to_export(name: str, sentence: str) -> None:
    with pytest.raises(UnwritableDockerfile) as raised:
        write_dockerfile({name: b"", "pyproject.toml": PROJECT}, SLIM)
    assert str(raised.value) == sentence
    assert write_dockerfile({name: b"", "requirements.txt": b""}, SLIM)


def test_a_broken_project_is_told() -> None:
    with pytest.raises(InvalidProject, match=r"pyproject\.toml cannot be parsed"):
        write_dockerfile({"pyproject.toml": b"["}, SLIM)


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({}, "3.12"),
        ({".python-version": b"3.11.4\n"}, "3.11.4"),
        ({".python-version": b"# none\ncpython-3.13\n", "pyproject.toml": PROJECT}, "3.13"),
        ({".python-version": b"pypy3.10\n"}, "3.12"),
        ({"pyproject.toml": PROJECT}, "3.13"),
        ({"pyproject.toml": b'[project]\nrequires-python = ">=3.10,<3.12"\n'}, "3.11"),
        ({"pyproject.toml": b'[project]\nrequires-python = ">=3.12.7"\n'}, "3.12"),
        ({"pyproject.toml": b'[project]\nrequires-python = "nonsense"\n'}, "3.12"),
        ({"pyproject.toml": b"[project]\nrequires-python = 3\n"}, "3.12"),
        ({"pyproject.toml": b'[project]\nrequires-python = "<3"\n'}, "3.12"),
    ],
)
def test_the_version_of_python_is_the_projects(files: dict[str, bytes], version: str) -> None:
    assert choose_python(files) == version


@pytest.mark.parametrize(
    ("text", "is_warned_of"),
    [
        ("torch\n", True),
        ("numpy\nTorch==2.5.0  # training\n", True),
        ("torch-geometric\ntorchvision\n", False),
        ("# torch\n", False),
        ("--extra-index-url https://download.pytorch.org/whl/cpu\ntorch\n", False),
    ],
)
def test_torch_with_cuda_is_known_by_its_index(text: str, is_warned_of: bool) -> None:
    assert installs_cuda({"requirements.txt": text.encode()}) is is_warned_of
