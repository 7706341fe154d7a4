"""Manifests that `apply` accepts, and positions of its errors."""

import pytest

from services.registry.apply.request import parse_apply_request

HEADER = "apiVersion: mlmesh/v1\n"
PLATFORM = HEADER + "kind: PlatformApp\nmetadata: {name: leafscan}\nspec: {title: Leaf scan}\n"
REPOSITORY = HEADER + "kind: Repository\nmetadata: {name: module}\nspec: {url: https://git.example/x}\n"
SECRET = HEADER + "kind: Secret\nmetadata: {name: users}\nspec: {keys: [alice]}\n"
COMPONENT = (
    HEADER
    + "kind: MLComponent\nmetadata: {name: c}\nspec: {image: {existingImageName: x}, mlService: {inference: 'a:b'}}\n"
)


def join_documents(*documents: str) -> bytes:
    return "---\n".join(documents).encode()


@pytest.mark.parametrize(
    ("documents", "app"),
    [
        ((PLATFORM,), "leafscan"),
        ((PLATFORM, REPOSITORY, SECRET), "leafscan"),
        ((PLATFORM.replace("{name: leafscan}", "{name: leafscan, namespace: pu-leafscan}"), SECRET), "pu-leafscan"),
        ((SECRET.replace("{name: users}", "{name: users, namespace: leafscan}"), REPOSITORY), "leafscan"),
    ],
)
def test_an_application_is_for_one_app(documents: tuple[str, ...], app: str) -> None:
    application, problems = parse_apply_request("app.yaml", join_documents(*documents))
    assert problems == []
    assert application is not None
    assert application.app == app


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "app.yaml:1:1: nothing to apply; send a PlatformApp, a Repository, Secret declarations"),
        (join_documents(SECRET), "app.yaml:3:1: say for which app: add a PlatformApp, or metadata.namespace"),
        (join_documents(PLATFORM, COMPONENT),
         "app.yaml:7:7: MLComponent belongs into the Git repository; apply takes PlatformApp, Repository, Secret"),
        (join_documents(PLATFORM, PLATFORM), "app.yaml:8:18: a second PlatformApp here; apply them one app at a time"),
        (join_documents(PLATFORM, SECRET, SECRET),
         "app.yaml:13:18: a second Secret here; apply them one app at a time"),
        (join_documents(PLATFORM, SECRET.replace("{name: users}", "{name: users, namespace: other}")),
         'app.yaml:8:36: namespace "other" is not that of this file\'s app; write "leafscan" or leave it out'),
        (PLATFORM.replace("leafscan", "hooks").encode(), None),
        (PLATFORM.replace("leafscan", "Leaf_Scan").encode(), None),
        (PLATFORM.replace("leafscan", "a" * 64).encode(), None),
        (PLATFORM.replace("title", "titel").encode(), None),
        (b"\xff", None),
        (b"a: [", None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(body: bytes, message: str | None) -> None:
    application, problems = parse_apply_request("app.yaml", body)
    assert application is None
    assert problems
    assert message is None or [str(problem) for problem in problems] == [message]


def test_a_repository_names_secrets_that_are_declared_somewhere() -> None:
    wanting = REPOSITORY.replace("spec: {", "spec: {credentials: git, webhook: {secret: hook}, ")
    application, _problems = parse_apply_request("app.yaml", join_documents(PLATFORM, wanting, SECRET))
    assert application is not None
    assert [str(problem) for problem in application.check_repository_secrets(["git"])] == [
        'app.yaml:9:44: there is no Secret "hook"; declare it in this file'
    ]
    assert application.check_repository_secrets(["git", "hook"]) == []
