"""`apply` over the running service."""

import pytest

from libs.common import identity
from services.registry.git.address_policy import FOLDER_NOT_ALLOWED, NETWORK_NOT_ALLOWED
from tests.registry.conftest import Registry
from tests.registry.working_copy import WorkingCopy

PLATFORM = "apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: leafscan}\nspec: {title: Leaf scan}\n"
SECRET = "---\napiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: users}\nspec: {keys: [alice]}\n"


def list_actions(body: dict[str, list[dict[str, str]]]) -> list[tuple[str, str, str]]:
    return [(entry["kind"], entry["name"], entry["action"]) for entry in body["applied"]]


async def test_what_is_there_already_is_unchanged_and_what_differs_is_changed(each_registry: Registry) -> None:
    created = await each_registry.call("POST", "/api/v1/apply", PLATFORM + SECRET)
    assert created.status == 200, created.body
    assert list_actions(created.body) == [("PlatformApp", "leafscan", "created"), ("Secret", "users", "created")]
    repeated = await each_registry.call("POST", "/api/v1/apply", PLATFORM + SECRET)
    assert list_actions(repeated.body) == [("PlatformApp", "leafscan", "unchanged"), ("Secret", "users", "unchanged")]
    other = (PLATFORM + SECRET).replace("Leaf scan", "Leaves").replace("alice", "alice, bob")
    changed = await each_registry.call("POST", "/api/v1/apply", other)
    assert list_actions(changed.body) == [("PlatformApp", "leafscan", "changed"), ("Secret", "users", "changed")]
    assert (await each_registry.get("/api/v1/apps/leafscan"))["title"] == "Leaves"


async def test_the_generated_webhook_secret_is_shown_once(registry: Registry, working_copy: WorkingCopy) -> None:
    first = await registry.apply(working_copy)
    assert len(first.body["webhook"]["secret"]) > 40
    assert "webhook" not in (await registry.apply(working_copy)).body
    moved = await registry.apply(working_copy, branch="other")
    assert list_actions(moved.body)[1] == ("Repository", "leafscan", "changed")
    assert "webhook" not in moved.body


async def test_a_repository_in_the_mesh_comes_with_the_address_to_push_to(registry: Registry) -> None:
    url = "http://127.0.0.1:8000/git/leafscan.git"
    assert (await registry.apply_hosted()).body["push"] == {"url": url, "branch": "main"}
    assert (await registry.apply_hosted(tags='"v*"')).body["push"] == {"url": url, "branch": None}


async def test_an_unchanged_repository_starts_no_deployment_and_a_changed_one_does(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.git("branch", "release")
    await registry.apply(working_copy)
    await registry.make_live()
    await registry.apply(working_copy)
    assert len((await registry.get("/api/v1/apps/leafscan/deployments"))["items"]) == 1
    await registry.apply(working_copy, branch="release")
    assert (await registry.wait_for_status("starting"))["trigger"] == "apply"
    assert len((await registry.get("/api/v1/apps/leafscan/deployments"))["items"]) == 2


async def test_a_bad_file_is_422_with_places_and_changes_nothing(registry: Registry) -> None:
    answer = await registry.call("POST", "/api/v1/apply?file=my.yaml", PLATFORM + SECRET.replace("keys", "kyes"))
    assert answer.status == 422
    assert answer.body["errors"] == [
        {"file": "my.yaml", "line": 9, "column": 8, "message": 'unknown field "kyes"; did you mean "keys"?'}
    ]
    assert answer.body["detail"].startswith("my.yaml:9:8: ")
    assert (await registry.get("/api/v1/apps"))["items"] == []


async def test_a_reserved_name_and_values_of_secrets_are_refused(registry: Registry) -> None:
    for body in (PLATFORM.replace("leafscan", "hooks"), PLATFORM + SECRET + "data: {alice: sesame}\n"):
        answer = await registry.call("POST", "/api/v1/apply", body)
        assert answer.status == 422, body
        assert "sesame" not in str(answer.body)


async def test_a_repository_may_not_name_a_secret_that_nobody_declares(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    answer = await registry.apply(working_copy, credentials="git")
    assert answer.status == 422
    (error,) = answer.body["errors"]
    assert (error["line"], error["message"]) == (11, 'there is no Secret "git"; declare it in this file')
    assert (await registry.get("/api/v1/apps"))["items"] == []


async def test_what_has_no_app_yet_needs_its_platform_app(registry: Registry) -> None:
    body = SECRET.removeprefix("---\n").replace("name: users", "name: users, namespace: leafscan")
    assert (await registry.call("POST", "/api/v1/apply", body)).status == 422
    await registry.call("POST", "/api/v1/apply", PLATFORM)
    assert (await registry.call("POST", "/api/v1/apply", body)).status == 200


async def test_a_token_of_another_app_may_not_apply(registry: Registry) -> None:
    answer = await registry.call("POST", "/api/v1/apply", PLATFORM, {identity.HEADER_SCOPES: "write:other read"})
    assert answer.status == 403
    assert (
        await registry.call("POST", "/api/v1/apply", PLATFORM, {identity.HEADER_SCOPES: "write:leafscan"})
    ).status == 200


async def test_a_file_over_1_mb_is_413(registry: Registry) -> None:
    assert (await registry.call("POST", "/api/v1/apply", "#" * (2**20 + 1))).status == 413


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("file:///nowhere/at/all", FOLDER_NOT_ALLOWED),
        ("file:///proc/1/root", FOLDER_NOT_ALLOWED),
        ("http://169.254.169.254/a", NETWORK_NOT_ALLOWED.format(host="169.254.169.254")),
        ("ssh://git@[fe80::1]/a", NETWORK_NOT_ALLOWED.format(host="fe80::1")),
    ],
)
async def test_a_repository_where_none_may_be_is_422_at_its_place_and_changes_nothing(
    registry: Registry, url: str, sentence: str
) -> None:
    answer = await registry.apply(url)
    assert answer.status == 422, answer.body
    (error,) = answer.body["errors"]
    assert (error["line"], error["column"], error["message"]) == (10, 8, sentence)
    assert (await registry.call("GET", "/api/v1/apps/leafscan")).status == 404
