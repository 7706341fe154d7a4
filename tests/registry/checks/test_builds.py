"""Builds against the folders of the commit: each problem at its place, and the folders' ids in the catalog."""

from __future__ import annotations

import pytest

from services.registry.checks.builds import BuildContext, list_builds
from services.registry.checks.catalog import check_manifests

TREE = "1f" * 20


def component(build: str, extra: str = "") -> dict[str, bytes]:
    text = (
        "apiVersion: mlmesh/v1\nkind: MLComponent\nmetadata: {name: digits}\nspec:\n"
        f'  image: {{build: {build}}}\n  mlService: {{inference: "a:f"}}\n{extra}'
    )
    return {"a.yml": text.encode()}


def list_problems(build: str, files: dict[str, bytes] | None, extra: str = "") -> list[str]:
    contexts = {} if files is None else {".": BuildContext(TREE, files)}
    _, problems = check_manifests(component(build, extra), "leaf", contexts=contexts)
    return [f"{problem}" for problem in problems]


@pytest.mark.parametrize(
    ("build", "files", "problem"),
    [
        ("{}", {}, None),
        ("{}", {"requirements.txt": b"numpy\n"}, None),
        ("{}", {"Dockerfile": b"", "poetry.lock": b""}, None),
        ("{dockerfile: docker/cpu}", {"docker/cpu": b""}, None),
        ("{}", None, '5:11: there is no folder "." in the repository; name one, from its root'),
        (
            "{dockerfile: docker/cpu}",
            {"Dockerfile": b""},
            '5:31: there is no file "docker/cpu" in the folder "."; correct the name',
        ),
        (
            "{packages: [libgl1]}",
            {"Dockerfile": b""},
            '5:19: "packages" has no effect: the folder "." has a Dockerfile; say it there',
        ),
        (
            "{}",
            {"Pipfile": b""},
            "5:11: Pipfile is not read; write what it pins with: pipenv requirements > requirements.txt",
        ),
        (
            "{}",
            {"requirements.txt": b"torch\n"},
            "5:11: requirements.txt installs torch with the libraries of CUDA, some GB, but resources.gpu is 0;"
            " add the line --extra-index-url https://download.pytorch.org/whl/cpu",
        ),
    ],
)
def test_a_build_is_checked_against_its_folder(build: str, files: dict[str, bytes] | None, problem: str | None) -> None:
    assert list_problems(build, files) == ([] if problem is None else [f"a.yml:{problem}"])


def test_torch_with_cuda_is_for_a_gpu() -> None:
    assert list_problems("{}", {"requirements.txt": b"torch\n"}, "  resources: {gpu: 1}\n") == []


def test_a_secret_of_a_build_must_exist() -> None:
    assert list_problems("{secrets: [pip-login]}", {}) == [
        'a.yml:5:29: there is no Secret "pip-login"; add one, or correct the name'
    ]


def test_the_catalog_has_the_ids_of_the_folders() -> None:
    catalog, _ = check_manifests(component("{}"), "leaf", contexts={".": BuildContext(TREE, {})})
    assert catalog is not None
    assert (catalog.trees, catalog.to_json()["trees"]) == ({".": TREE}, {".": TREE})
    assert [build.context for build in list_builds(catalog)] == ["."]


def test_without_a_commit_at_hand_no_folder_is_looked_at() -> None:
    catalog, problems = check_manifests(component("{context: nowhere}"), "leaf")
    assert catalog is not None
    assert (problems, "trees" in catalog.to_json()) == ([], False)


def test_where_processes_run_a_build_is_told_to_have_no_effect() -> None:
    _, problems = check_manifests(component("{}"), "leaf", processes=True)
    assert [str(problem) for problem in problems] == [
        "a.yml:4:1: image.build is not applied: this mesh runs processes, which it does not isolate;"
        " mlmesh up --runtime docker does all of it"
    ]


@pytest.mark.parametrize(
    ("timeout", "is_valid"), [("6h", True), ("21600.001s", False), ("7d", False), ("21601", False)]
)
def test_a_build_has_an_end(timeout: str, is_valid: bool) -> None:
    _, problems = check_manifests(component(f"{{timeout: {timeout}}}"), "leaf")
    expected = [] if is_valid else ['a.yml:5:28: "timeout" of a build must be at most 6h']
    assert [f"{problem}" for problem in problems] == expected
