from __future__ import annotations

import pytest

from services.registry.apps import Repository
from services.registry.deployments.promotion import explain_different_repositories, is_same_repository

COMMIT = "6f1c2b7d9a8e4f3021c5b6a7d8e9f0a1b2c3d4e5"
HOSTED = "https://mesh.example/git/leaf.git"
FORGE = "https://git.example/lab/leaf.git"


def make_repository(app: str, url: str | None) -> Repository:
    return Repository(app, app, url, "main", "manifests", None, 30.0, None)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (FORGE, FORGE, True),
        (FORGE, "https://git.example/lab/leaf", True),
        (FORGE, "HTTPS://git.example:443/lab/leaf/", True),
        (FORGE, "https://git.example/lab/oak.git", False),
        (FORGE, "https://other.example/lab/leaf.git", False),
        ("git@git.example:lab/leaf.git", "git@git.example:lab/leaf", True),
        ("file:///srv/leaf", "file:///srv/leaf.git", True),
    ],
)
def test_one_repository_has_several_spellings(first: str, second: str, same: bool) -> None:
    assert is_same_repository(first, second) is same


@pytest.mark.parametrize(
    ("source", "target", "problem"),
    [
        (FORGE, FORGE, None),
        (FORGE, "https://u@git.example/lab/oak.git",
         "leaf is deployed from https://git.example/lab/oak.git, which is not the repository of staging; give its "
         "Repository the url https://git.example/lab/leaf.git with mlmesh apply, or push the commit there"),
        (None, None, None),
        (FORGE, None,
         "leaf is deployed from its repository in the mesh, which is not the repository of staging; push the commit: "
         "git push https://mesh.example/git/leaf.git 6f1c2b7d9a8e:refs/heads/main"),
        (None, FORGE,
         "leaf is deployed from https://git.example/lab/leaf.git, which is not the repository of staging; push the "
         "commit there, to main"),
    ],
)  # fmt: skip
def test_another_repository_is_refused_with_what_to_do(
    source: str | None, target: str | None, problem: str | None
) -> None:
    repositories = make_repository("staging", source), make_repository("leaf", target)
    assert explain_different_repositories(*repositories, HOSTED, COMMIT) == problem
