from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.cli.diff import has_changes, preview_lines
from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply
from tests.registry.working_copy import COMPONENT, WorkingCopy

CHANGED: dict[str, Any] = {
    "app": "leaf", "commit": "1" * 40, "live_commit": "2" * 40,
    "changes": {"since": "d1", "omitted": 0, "items": [
        {"kind": "DataBox", "name": "new", "action": "created", "fields": [], "data_kept": False}]},
    "instances": [{"component": "a", "action": "replace"}, {"component": "b", "action": "start"},
                  {"component": "c", "action": "replace"}],
    "boxes_kept": ["weights"], "warnings": [{"file": "manifests", "line": 1, "column": 1, "message": "mind this"}],
}  # fmt: skip
SAME = {
    **CHANGED, "commit": None, "changes": {"since": "d1", "items": [], "omitted": 0},
    "instances": [{"component": "a", "action": "keep"}], "warnings": [], "boxes_kept": [],
}  # fmt: skip
PATH = "/api/v1/apps/leaf/diff"


@pytest.mark.parametrize(
    ("preview", "lines"),
    [
        (CHANGED, [
            "leaf: 1111111111 against 2222222222, which is live",
            "  + DataBox new created",
            "  instances: start b",
            "  instances: replace a, c",
            "  data kept: weights",
            "  warning: manifests:1:1: mind this",
        ]),
        (SAME, ["leaf: the folder against 2222222222, which is live", "  nothing changes", "  instances: keep a"]),
        ({**SAME, "live_commit": None, "instances": []},
         ["leaf: the folder against nothing: no deployment is live yet", "  nothing changes"]),
    ],
)  # fmt: skip
def test_a_preview_is_told_in_lines(preview: dict[str, Any], lines: list[str]) -> None:
    assert list(preview_lines(preview, "the folder")) == lines


def test_instances_that_are_replaced_are_a_change() -> None:
    assert (has_changes(CHANGED), has_changes(SAME)) == (True, False)
    assert has_changes({**SAME, "instances": [{"component": "a", "action": "replace"}]})


@pytest.mark.parametrize(("preview", "code"), [(CHANGED, 2), (SAME, 0)])
def test_the_exit_code_tells_changes_when_it_is_asked_for(
    run: Run, mesh: FakeMesh, preview: dict[str, Any], code: int
) -> None:
    mesh.set_replies("GET", PATH, preview)
    assert run("diff", "--app", "leaf", "--ref", "main").code == 0
    assert run("diff", "--app", "leaf", "--ref", "main", "--exit-code").code == code
    assert [request.query for request in mesh.requests] == [{"ref": "main"}] * 2


def test_a_folder_is_sent_with_its_commit_when_it_is_clean(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    copy = WorkingCopy(tmp_path / "module")
    commit = copy.commit({"manifests/a.yml": COMPONENT})
    copy.git("remote", "add", "mesh", f"{mesh.url}/git/leaf.git")
    mesh.set_replies("POST", PATH, SAME)
    assert run("diff", str(copy.folder)).code == 0
    (copy.folder / "more.py").write_text("")
    assert run("diff", str(copy.folder)).code == 0
    first, second = (request.json() for request in mesh.requests)
    assert first == {
        "files": {f"{copy.folder}/manifests/a.yml": COMPONENT}, "path": f"{copy.folder}/manifests", "commit": commit,
        "secrets": [],
    }  # fmt: skip
    assert second == {**first, "commit": None}


@pytest.mark.parametrize(
    ("files", "app"),
    [
        ({"manifests/a.yml": COMPONENT.replace("{name: digits}", "{name: digits, namespace: leaf}")}, "leaf"),
        ({"manifests/a.yml": COMPONENT,
          "app.yaml": "apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: leaf}\nspec: {title: Leaf}\n---\n"
                      "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: s, namespace: leaf}\nspec: {keys: [k]}\n"},
         "leaf"),
        ({"manifests/a.yml": COMPONENT}, None),
    ],
    ids=["a manifest", "app.yaml", "nothing"],
)  # fmt: skip
def test_the_app_is_the_one_that_the_folder_names(
    run: Run, mesh: FakeMesh, tmp_path: Path, files: dict[str, str], app: str | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    mesh.set_replies("POST", PATH, SAME)
    done = run("diff", str(tmp_path))
    if app is None:
        assert (done.code, done.err) == (2, f"mlmesh: nothing in {tmp_path} names its app; add --app APP\n")
    else:
        assert done.code == 0, done.err
        assert mesh.requests[0].json()["secrets"] == (["s"] if "app.yaml" in files else [])


def test_mistakes_end_with_1_and_their_places(run: Run, mesh: FakeMesh) -> None:
    error = {"file": "manifests/a.yml", "line": 3, "column": 5, "message": "a typo"}
    problem = {"title": "Invalid", "status": 422, "detail": "manifests/a.yml:3:5: a typo", "errors": [error]}
    mesh.set_replies("GET", PATH, Reply(422, problem))
    done = run("diff", "--app", "leaf", "--ref", "main", "--exit-code")
    assert (done.code, done.err) == (1, "mlmesh: manifests/a.yml:3:5: a typo\n")


def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    from services.cli.checkout_app import read_clean_commit

    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert read_clean_commit(tmp_path) is None
    assert read_clean_commit(tmp_path / "nowhere") is None


@pytest.mark.parametrize("arguments", [("--nothing",), ()])
def test_with_exit_code_wrong_usage_ends_with_1(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/a.yml").write_text(COMPONENT)
    assert run("diff", str(tmp_path), "--exit-code", *arguments).code == 1


def test_a_folder_that_no_image_can_be_built_from_is_refused(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/a.yml").write_text(COMPONENT.replace("existingImageName: digits:1", "build: {}"))
    (tmp_path / "Pipfile").write_text("")
    done = run("diff", "--app", "leaf", str(tmp_path))
    assert (done.code, mesh.requests) == (1, [])
    assert "Pipfile is not read" in done.err
