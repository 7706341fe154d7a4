"""Polling finds new commits without a webhook."""

import pytest

from services.registry.git.address_policy import FOLDER_NOT_ALLOWED
from tests.registry.conftest import Registry, poll_until
from tests.registry.working_copy import WorkingCopy


async def test_a_new_head_is_found_and_deployed(each_registry: Registry, working_copy: WorkingCopy) -> None:
    await each_registry.apply(working_copy, pollInterval="1s")
    await each_registry.make_live()
    second = working_copy.commit({})
    deployment = await poll_until(
        each_registry.get_newest, lambda it: it["commit"] == second and it["status"] == "starting"
    )
    assert (deployment["trigger"], deployment["caused_by"]) == ("poll", "poll")


async def test_a_repository_that_cannot_be_asked_says_why(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy, pollInterval="1s")
    live = await registry.make_live()
    working_copy.folder.rename(working_copy.folder.with_name("moved"))

    async def get_repository() -> object:
        return (await registry.get("/api/v1/apps/leafscan"))["repository"]

    poll_error = await poll_until(get_repository, lambda it: it["poll_error"] is not None)
    assert poll_error["poll_error"] == FOLDER_NOT_ALLOWED
    assert (await registry.get_newest())["id"] == live["id"]
    working_copy.folder.with_name("moved").rename(working_copy.folder)
    await poll_until(get_repository, lambda it: it["poll_error"] is None)


async def test_a_branch_that_appears_later_is_deployed(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy, branch="release", pollInterval="1s")
    await registry.wait_for_status("failed")
    working_copy.git("branch", "release")
    assert (await registry.wait_for_status("starting"))["trigger"] == "poll"


async def test_a_rolled_back_head_is_not_deployed_again_by_polling(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy, pollInterval="1s")
    first = await registry.make_live()
    working_copy.commit({})
    await poll_until(registry.get_newest, lambda it: it["status"] == "starting" and it["commit"] != first["commit"])
    await registry.make_live()
    await registry.call("POST", "/api/v1/apps/leafscan/rollback")
    rolled = await registry.make_live()
    assert rolled["commit"] == first["commit"]
    third = working_copy.commit({}, "a commit that is new")
    deployment = await poll_until(
        registry.get_newest, lambda it: it["id"] != rolled["id"] and it["status"] == "starting"
    )
    assert deployment["commit"] == third
    listed = (await registry.get("/api/v1/apps/leafscan/deployments"))["items"]
    assert [item["trigger"] for item in listed] == ["poll", "rollback", "poll", "apply"]


async def test_a_branch_that_is_gone_is_told_on_the_app_and_in_the_list(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy, pollInterval="1s")
    live = await registry.make_live()
    working_copy.git("branch", "--move", "main", "trunk")
    why = "branch main is not there any more; the repository has: trunk"

    async def get_repository() -> object:
        return (await registry.get("/api/v1/apps/leafscan"))["repository"]

    await poll_until(get_repository, lambda it: it["poll_error"] == why)
    (listed,) = (await registry.get("/api/v1/apps"))["items"]
    assert (listed["poll_error"], listed["newest"]["id"]) == (why, live["id"])
    working_copy.git("branch", "--move", "trunk", "main")
    await poll_until(get_repository, lambda it: it["poll_error"] is None)


async def test_a_fetch_that_failed_is_tried_again_and_shown_until_then(
    registry: Registry, working_copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head can be read, but its objects cannot be fetched until the repository is repaired."""
    monkeypatch.setattr("services.registry.deployments.state.FIRST_RETRY_S", 2.0)
    await registry.apply(working_copy, pollInterval="1s")
    await registry.make_live()
    second = working_copy.commit({"more": "1"})
    tree = working_copy.git("rev-parse", f"{second}^{{tree}}")
    lost = working_copy.folder / ".git/objects" / tree[:2] / tree[2:]
    lost.rename(tmp := working_copy.folder.with_name("lost"))
    failed = await registry.wait_for_status("failed")

    async def get_repository() -> object:
        return (await registry.get("/api/v1/apps/leafscan"))["repository"]

    poll_error = (await poll_until(get_repository, lambda it: it["poll_error"] is not None))["poll_error"]
    assert poll_error.startswith(
        f"commit {second[:12]} could not be fetched: {failed['errors'][0]['message']}; tried again"
    )
    tmp.rename(lost)
    deployment = await poll_until(registry.get_newest, lambda it: it["commit"] == second and it["status"] == "starting")
    assert deployment["trigger"] == "poll"
    await poll_until(get_repository, lambda it: it["poll_error"] is None)
