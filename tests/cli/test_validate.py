from __future__ import annotations

import json
import os
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
    assert (done.code, done.out, done.err) == (0, "", "1 file, no errors\n")


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


@pytest.mark.parametrize(
    ("folder", "advice"),
    [
        ("manifest", "rename {}/manifest"),
        ("Manifests", "rename {}/Manifests"),
        ("deploy/prod", "put the manifests there"),
        (".github/workflows", "put the manifests there"),
    ],
)
def test_manifests_in_a_folder_that_no_deployment_reads_are_refused(
    run: Run, tmp_path: Path, folder: str, advice: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "a.yml").write_text(BOX)
    done = run("validate", str(tmp_path))
    assert (done.code, done.out, done.err) == (
        1, "",
        f"mlmesh: a deployment reads {tmp_path}/manifests, which is not there; {advice.format(tmp_path)}, or name the "
        "folder of the manifests as path in the Repository of app.yaml\n",
    )  # fmt: skip
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    assert run("validate", str(tmp_path)) == done


@pytest.mark.parametrize("name", ["manifest", "MANIFESTS"])
def test_a_folder_of_manifests_with_a_mistyped_name_is_refused_as_by_a_push(
    run: Run, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.yml").write_text(BOX)
    done = run("validate", str(tmp_path / name))
    refusal = f"mlmesh: a deployment reads {tmp_path}/manifests, which is not there; rename {tmp_path}/{name}, or name"
    assert (done.code, done.out, done.err.startswith(refusal)) == (1, "", True), done
    (tmp_path / "app.yaml").write_text(join_documents(APP, REPOSITORY.replace("a.git", f"a.git, path: {name}")))
    assert run("validate", str(tmp_path / name)).code == 0
    assert run("validate", str(tmp_path)).code == 0


def test_a_folder_of_manifests_of_another_name_is_checked_when_it_is_given(run: Run, tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/a.yml").write_text(TYPO)
    assert run("validate", str(tmp_path / "deploy")).out.startswith(f"{tmp_path}/deploy/a.yml:6:3: ")


def test_the_root_of_a_repository_is_no_folder_of_manifests(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "a.yml").write_text(BOX)
    done = run("validate", str(tmp_path))
    assert (done.code, "manifests, which is not there; put the manifests there" in done.err) == (1, True), done
    (tmp_path / "app.yaml").write_text(join_documents(APP, REPOSITORY.replace("a.git", "a.git, path: .")))
    (tmp_path / "env/lib").mkdir(parents=True)
    (tmp_path / "env/pyvenv.cfg").write_text("home = /usr/bin\n")
    (tmp_path / "env/lib/other.yaml").write_text("not: a manifest\n")
    assert run("validate", str(tmp_path)).err == "1 file, no errors\n"


def test_inside_the_folder_of_manifests_they_are_checked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/a.yml").write_text(TYPO)
    monkeypatch.chdir(tmp_path / "manifests")
    assert run("validate").out.startswith("a.yml:6:3: ")


def test_a_folder_without_manifests_is_said_to_be_one(run: Run, tmp_path: Path) -> None:
    assert run("validate", str(tmp_path / "nowhere")).err == f"mlmesh: {tmp_path}/nowhere is not a folder\n"
    done = run("validate", str(tmp_path))
    assert (done.code, done.out) == (1, "")
    assert f"a deployment reads {tmp_path}/manifests, which is not there" in done.err
    (tmp_path / "manifests").mkdir()
    assert (
        run("validate", str(tmp_path)).err == f"mlmesh: there is no manifest (*.yaml, *.yml) in {tmp_path}/manifests\n"
    )


SECRET = "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: keys}\nspec: {keys: [TOKEN]}\n"
APP = "apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: leafscan}\nspec: {title: Leaf scan}\n"
REPOSITORY = (
    "apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {name: leafscan, namespace: leafscan}\n"
    "spec: {url: https://git.example/a.git}\n"
)
COMPONENT = (
    "apiVersion: mlmesh/v1\nkind: MLComponent\nmetadata: {name: c}\n"
    "spec: {image: {existingImageName: a}, mlService: {inference: 'a:f'}, envFrom: [{secretRef: {name: keys}}]}\n"
)
MISSING = 'manifests/c.yml:4:99: there is no Secret "keys"; add one, or correct the name\n'


def join_documents(*documents: str) -> str:
    return "---\n".join(documents)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "m" / "manifests").mkdir(parents=True)
    (tmp_path / "m" / "manifests" / "c.yml").write_text(COMPONENT)
    return tmp_path / "m"


APPLICATIONS = [
    (None, MISSING),
    (join_documents(APP, REPOSITORY, SECRET), ""),
    (join_documents(APP, REPOSITORY), MISSING),
    # what apply would refuse is told, and a Secret in it is not called missing
    (join_documents(APP, SECRET.replace("TOKEN]", "TOKEN], typo: 1")), "app.yaml:9:23: unknown field"),
    (join_documents(APP, "a: b: c\n"), "app.yaml:6:5: invalid YAML"),
    # another tool's file, a manifest that has no business there
    ("runtime: python39\n", MISSING),
    ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: keys}\n", MISSING),
    (join_documents(APP, COMPONENT, SECRET), MISSING),
]


@pytest.mark.parametrize(("application", "message"), APPLICATIONS)
def test_secrets_that_app_yaml_declares_are_known(
    run: Run, module: Path, application: str | None, message: str
) -> None:
    if application is not None:
        (module / "app.yaml").write_text(application)
    for folder in (module, module / "manifests"):
        done = run("validate", str(folder))
        assert (done.code, done.out.count("\n")) == ((1, 1) if message else (0, 0)), done
        assert done.out.startswith(f"{module}/{message}" if message else "")


def test_a_namespace_is_compared_with_that_of_app_yaml(run: Run, module: Path) -> None:
    (module / "app.yaml").write_text(join_documents(APP, SECRET))
    (module / "manifests" / "b.yml").write_text(BOX.replace("name: models", "name: models, namespace: other"))
    assert 'namespace "other" is not this app\'s; write "leafscan"' in run("validate", str(module)).out


def test_other_files_that_are_applied_are_named(run: Run, module: Path) -> None:
    secrets_file = module / "secrets.yaml"
    secrets_file.write_text(SECRET.replace("name: keys", "name: keys, namespace: leafscan"))
    assert run("validate", str(module), "--with", str(secrets_file)).code == 0
    secrets_file.write_text(SECRET)
    done = run("validate", str(module), "--with", str(secrets_file))
    assert done.out == f"{secrets_file}:3:1: say for which app: add a PlatformApp, or metadata.namespace\n"
    assert run("validate", str(module), "--with", str(module / "no.yaml")).code == 1


def test_app_yaml_is_no_manifest_and_says_where_they_are(run: Run, module: Path) -> None:
    (module / "app.yaml").write_text(join_documents(APP, REPOSITORY, SECRET))
    (module / "manifests").rename(module / "deploy")
    (module / "other.yml").write_text("not: a manifest\n")
    (module / "app.yaml").write_text(join_documents(APP, REPOSITORY.replace("a.git", "a.git, path: ./deploy"), SECRET))
    assert run("validate", str(module)).err == "1 file, no errors\n"
    (module / "app.yaml").write_text(join_documents(APP, REPOSITORY.replace("a.git", "a.git, path: nowhere"), SECRET))
    message = f"mlmesh: there is no folder {module}/nowhere, the path of the Repository in app.yaml\n"
    assert run("validate", str(module)).err == message
    (module / "other.yml").unlink()
    (module / "app.yaml").write_text(join_documents(APP, REPOSITORY.replace("a.git", "a.git, path: ."), SECRET))
    assert run("validate", str(module)).err == "1 file, no errors\n"


def test_files_that_a_deployment_skips_are_reported(run: Run, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    for name in ("a.yml", "b.YML", ".yml"):
        (manifests / name).write_text(BOX)
    (manifests / "team").symlink_to("../team")
    (manifests / "mnt").symlink_to("/mnt/team")
    done = run("validate", str(tmp_path))
    unread = "not read: the name of a manifest ends in .yml or .yaml; rename it"
    assert done.out.splitlines() == [
        f"{manifests}/.yml:1:1: {unread}",
        f"{manifests}/b.YML:1:1: {unread}",
        f'{manifests}/mnt:1:1: a link to "/mnt/team" outside this repository is left out; '
        "commit what it leads to, or keep it in a box",
        f"{manifests}/team:1:1: a link, below which no manifests are read; commit the files themselves",
    ]
    assert (done.code, done.err) == (0, "1 file, no errors\n")


def test_a_link_instead_of_a_manifest_is_refused_as_a_deployment_refuses_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.yml").write_text(BOX)
    (tmp_path / "one/manifests").mkdir(parents=True)
    (tmp_path / "one/manifests/a.yml").symlink_to("../../real/a.yml")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifests").symlink_to("../real")
    done = run("validate", str(tmp_path / "one"))
    message = "not a regular file; commit the manifest itself instead of a link"
    assert (done.code, done.out.splitlines()[0]) == (1, f"{tmp_path}/one/manifests/a.yml:1:1: {message}")
    done = run("validate", str(tmp_path / "other"))
    assert (done.code, done.out.partition(": ")[2].partition(";")[0]) == (1, "a link, which is not followed")


def test_packages_that_are_not_installed_are_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/a.yml").write_text(BOX)
    (tmp_path / "Pipfile").write_text("")
    done = run("validate", str(tmp_path))
    assert done.out.startswith(f"{tmp_path}/Pipfile:1:1: where a mesh runs processes: Pipfile is not installed; write")
    assert done.code == 0
    [warning] = json.loads(run("validate", str(tmp_path), "--json").out)
    assert warning["severity"] == "warning"


def test_a_name_that_is_not_utf_8_is_shown_with_escapes(run: Run, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.yml")).write_text(TYPO)
    assert run("validate", str(tmp_path)).out.startswith(f"{tmp_path}/caf\\xe9.yml:6:3: ")


BUILD = (
    "apiVersion: mlmesh/v1\nkind: MLComponent\nmetadata: {name: c}\n"
    "spec: {image: {build: {context: code}}, mlService: {inference: 'a:f'}}\n"
)


def test_a_build_is_checked_against_its_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "c.yml").write_text(BUILD)
    missing = 'manifests/c.yml:4:33: there is no folder "code" in the repository; name one, from its root\n'
    assert run("validate").out == missing
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "Pipfile").write_text("")
    unread = "Pipfile is not read; write what it pins with: pipenv requirements > requirements.txt"
    assert run("validate", "manifests").out == f"manifests/c.yml:4:16: {unread}\n"
    (tmp_path / "code" / "requirements.txt").write_text("numpy\n")
    assert run("validate").code == 0
