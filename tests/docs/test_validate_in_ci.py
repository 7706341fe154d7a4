"""docs/validate-in-ci.md: the commands of its snippets run as they are printed, on a good module and on a bad one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/validate-in-ci.md").read_text()
SOURCE = "https://git.example/lab/mlmesh.git"
HOOK = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]
MISTAKE = "apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: results}\nspec: {s3DefaultStorage: {capasity: 1M}}\n"
TIMEOUT_S = 120.0


def read_snippet(heading: str) -> Any:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return YAML(typ="safe").load(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0])


def list_commands(heading: str) -> list[str]:
    snippet = read_snippet(heading)
    if heading == "GitLab CI":
        return list(snippet["mlmesh"]["script"])
    return [step["run"] for step in snippet["jobs"]["validate"]["steps"] if "run" in step]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A new module, and a Git that finds this checkout where the page says mlmesh is."""
    (tmp_path / "gitconfig").write_text(
        f'[url "file://{ROOT}"]\n\tinsteadOf = {SOURCE}\n[safe]\n\tdirectory = *\n[protocol "file"]\n\tallow = always\n'
    )
    run_command("mlmesh init leaf", tmp_path, 0)
    return tmp_path / "leaf"


def run_command(command: str, folder: Path, code: int) -> str:
    """`pip install` fetches and builds what it would install, and stops there."""
    environ = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig" if folder.name != "leaf" else folder.parent / "gitconfig"),
        "XDG_CONFIG_HOME": str(folder),
        **dict.fromkeys(("PIP_DRY_RUN", "PIP_NO_DEPS", "PIP_NO_INDEX"), "1"),
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads the value as that of "build isolation"
    }
    done = subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("heading", ["GitHub Actions", "GitLab CI", "Forgejo Actions"])
def test_the_commands_of_a_ci_accept_a_new_module_and_refuse_a_mistake(module: Path, heading: str) -> None:
    *before, install, validate = list_commands(heading)
    assert [command.partition(" ")[0] for command in before] == (["apt-get"] if heading == "Forgejo Actions" else [])
    assert "Would install mlmesh-" in run_command(install, module, 0)
    assert "no errors" in run_command(validate, module, 0)
    (module / "manifests/results.yml").write_text(MISTAKE)
    assert 'manifests/results.yml:4:27: unknown field "capasity"' in run_command(validate, module, 1)


def test_the_hook_of_pre_commit_is_the_one_of_the_page_and_runs(module: Path) -> None:
    (repository,) = read_snippet("pre-commit")["repos"]
    assert (repository["repo"], repository["hooks"]) == (SOURCE, [{"id": HOOK["id"]}])
    assert re.search(HOOK["files"], "manifests/results.yml")
    assert "no errors" in run_command(HOOK["entry"], module, 0)
