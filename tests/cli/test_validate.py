from __future__ import annotations

import json
from pathlib import Path

import pytest

from libs.common.manifests.reading import MAX_FILE
from tests.cli.conftest import Run

BOX = "apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: models}\nspec:\n  s3DefaultStorage: {}\n"
TYPO = BOX + "  capacitty: 1G\n"


def test_good_manifests_are_exit_code_0(run: Run, tmp_path: Path) -> None:
    (tmp_path / "manifests" / "sub").mkdir(parents=True)
    (tmp_path / "manifests" / "sub" / "a.yaml").write_text(BOX)
    (tmp_path / "other.yml").write_text("not: a manifest\n")
    done = run("validate", str(tmp_path))
    assert (done.code, done.out, done.err) == (0, "", "1 files, no errors\n")


def test_each_problem_is_a_place_and_a_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(TYPO)
    done = run("validate", str(tmp_path))
    assert done.code == 1
    assert done.out.startswith(f"{tmp_path}/a.yml:6:3: ")
    assert "capacitty" in done.out
    [problem] = json.loads(run("validate", str(tmp_path), "--json").out)
    assert (problem["severity"], problem["line"], problem["column"]) == ("error", 6, 3)


@pytest.mark.parametrize(("size", "code"), [(MAX_FILE, 0), (MAX_FILE + 1, 1), (5 * MAX_FILE, 1)])
def test_a_file_is_too_large_here_when_it_is_in_a_deployment(run: Run, tmp_path: Path, size: int, code: int) -> None:
    (tmp_path / "a.yml").write_text(BOX + "#" * (size - len(BOX)))
    done = run("validate", str(tmp_path))
    assert done.code == code
    assert done.out.startswith(f"{tmp_path}/a.yml:1:1: larger than 1 MB" if code else "")


def test_a_folder_without_manifests_is_said_to_be_one(run: Run, tmp_path: Path) -> None:
    assert run("validate", str(tmp_path / "nowhere")).err == f"mlmesh: {tmp_path}/nowhere is not a folder\n"
    done = run("validate", str(tmp_path))
    assert (done.code, done.out) == (1, "")
    assert "no manifests" in done.err
