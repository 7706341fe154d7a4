"""New commits are found without a webhook."""

import pytest

from services.registry.git.address_policy import FOLDER_NOT_ALLOWED
from tests.registry.conftest import Registry, until
from tests.registry.working_copy import Work


async def test_a_new_head_is_found_and_deployed(either: Registry, work: Work) -> None:
    await either.apply(work, pollInterval="1s")
    await either.live()
    second = work.commit({})
    found = await until(either.newest, lambda it: it["commit"] == second and it["status"] == "starting")
    assert found["trigger"] == "poll"


async def test_a_repository_that_cannot_be_asked_says_why(registry: Registry, work: Work) -> None:
    await registry.apply(work, pollInterval="1s")
    live = await registry.live()
    work.folder.rename(work.folder.with_name("moved"))

    async def shown() -> object:
        return (await registry.get("/api/v1/apps/leafscan"))["repository"]

    told = await until(shown, lambda it: it["poll_error"] is not None)
    assert told["poll_error"] == FOLDER_NOT_ALLOWED
    assert (await registry.newest())["id"] == live["id"]
    work.folder.with_name("moved").rename(work.folder)
    await until(shown, lambda it: it["poll_error"] is None)


async def test_a_branch_that_appears_later_is_deployed(registry: Registry, work: Work) -> None:
    await registry.apply(work, branch="release", pollInterval="1s")
    await registry.settled("failed")
    work.git("branch", "release")
    assert (await registry.settled("starting"))["trigger"] == "poll"


async def test_a_rolled_back_head_is_not_deployed_again_by_polling(registry: Registry, work: Work) -> None:
    await registry.apply(work, pollInterval="1s")
    first = await registry.live()
    work.commit({})
    await until(registry.newest, lambda it: it["status"] == "starting" and it["commit"] != first["commit"])
    await registry.live()
    await registry.call("POST", "/api/v1/apps/leafscan/rollback")
    rolled = await registry.live()
    assert rolled["commit"] == first["commit"]
    third = work.commit({}, "a commit that is new")
    found = await until(registry.newest, lambda it: it["id"] != rolled["id"] and it["status"] == "starting")
    assert found["commit"] == third
    listed = (await registry.get("/api/v1/apps/leafscan/deployments"))["items"]
    assert [one["trigger"] for one in listed] == ["poll", "rollback", "poll", "apply"]


async def test_a_branch_that_is_gone_is_told_on_the_app_and_in_the_list(registry: Registry, work: Work) -> None:
    await registry.apply(work, pollInterval="1s")
    live = await registry.live()
    work.git("branch", "--move", "main", "trunk")
    why = "branch main is not there any more; the repository has: trunk"

    async def shown() -> object:
        return (await registry.get("/api/v1/apps/leafscan"))["repository"]

    await until(shown, lambda it: it["poll_error"] == why)
    (listed,) = (await registry.get("/api/v1/apps"))["items"]
    assert (listed["poll_error"], listed["newest"]["id"]) == (why, live["id"])
    work.git("branch", "--move", "trunk", "main")
    await until(shown, lambda it: it["poll_error"] is None)


async def test_a_fetch_that_failed_is_tried_again_and_shown_until_then(
    registry: Registry, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head can be asked, its objects cannot be had until the repository is mended."""
    monkeypatch.setattr("services.registry.deployments.state.FIRST_RETRY_S", 2.0)
    await registry.apply(work, pollInterval="1s")
    await registry.live()
    second = work.commit({"more": "1"})
    tree = work.git("rev-parse", f"{second}^{{tree}}")
    lost = work.folder / ".git/objects" / tree[:2] / tree[2:]
    lost.rename(tmp := work.folder.with_name("lost"))
    failed = await registry.settled("failed")

    async def shown() -> object:
        return (await registry.get("/api/v1/apps/leafscan"))["repository"]

    told = (await until(shown, lambda it: it["poll_error"] is not None))["poll_error"]
    assert told.startswith(f"commit {second[:12]} could not be fetched: {failed['errors'][0]['message']}; tried again")
    tmp.rename(lost)
    found = await until(registry.newest, lambda it: it["commit"] == second and it["status"] == "starting")
    assert found["trigger"] == "poll"
    await until(shown, lambda it: it["poll_error"] is None)
