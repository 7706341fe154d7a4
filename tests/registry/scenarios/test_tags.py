"""An app that follows tags: of a repository elsewhere, by polling and webhook, and of the built-in one."""

from __future__ import annotations

import asyncio
import hmac
import json

import pytest

from tests.registry.conftest import ApiResponse, Registry, poll_until
from tests.registry.scenarios.test_pushes import Remote, count_deployments
from tests.registry.working_copy import MODULE, WorkingCopy

MISTAKE = {"manifests/api.yml": MODULE["manifests/api.yml"].replace("path: digits", "paht: digits")}


async def wait_for_live(registry: Registry, commit: str) -> None:
    deployment = await poll_until(registry.get_newest, lambda it: it["commit"] == commit and it["status"] == "starting")
    await registry.report(deployment["id"], status="live")


async def read_problem(registry: Registry) -> str | None:
    problem: str | None = (await registry.get("/api/v1/apps/leafscan"))["repository"]["poll_error"]
    return problem


async def test_the_newest_version_is_deployed_and_what_is_not_tagged_is_not(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.git("tag", "v1.9")
    tenth = working_copy.commit({"digits/more.py": "# 10\n"})
    working_copy.git("tag", "-a", "-m", "the tenth", "v1.10")
    working_copy.commit({"digits/more.py": "# untagged\n"})
    await each_registry.apply(working_copy, tags='"v*"', pollInterval="1s")
    await wait_for_live(each_registry, tenth)
    repository = (await each_registry.get("/api/v1/apps/leafscan"))["repository"]
    assert (repository["branch"], repository["tags"], repository["head"]) == (None, "v*", tenth)

    moved = working_copy.commit({"digits/more.py": "# moved\n"})
    working_copy.git("tag", "--force", "-a", "-m", "moved", "v1.10")
    await wait_for_live(each_registry, moved)
    working_copy.git("tag", "v0.1")
    working_copy.git("tag", "--delete", "v1.10")
    await wait_for_live(each_registry, working_copy.git("rev-parse", "v1.9"))


async def test_without_a_tag_that_matches_the_error_names_those_that_there_are(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy, tags='"v*"', pollInterval="1s")
    failed = await registry.wait_for_status("failed")
    assert failed["errors"][0]["message"] == "no tag matches v*; the repository has no tag at all"
    working_copy.git("tag", "beta")
    await poll_until(
        lambda: read_problem(registry), lambda it: it == "no tag matches v*; the repository has the tags: beta"
    )
    working_copy.git("tag", "v1")
    await wait_for_live(registry, working_copy.git("rev-parse", "HEAD"))
    assert await read_problem(registry) is None
    working_copy.git("tag", "--delete", "v1")
    gone = "no tag matches v* any more; the repository has the tags: beta"
    await poll_until(lambda: read_problem(registry), lambda it: it == gone)
    assert (await registry.get("/api/v1/apps/leafscan"))["live"] is not None


async def push_by_webhook(registry: Registry, secret: str, ref: str, after: str) -> ApiResponse:
    body = json.dumps({"ref": ref, "after": after})
    signature = hmac.new(secret.encode(), body.encode(), "sha256").hexdigest()
    headers = {"X-Gitea-Event": "push", "X-Gitea-Signature": signature}
    return await registry.call("POST", "/hooks/leafscan", body, headers)


async def test_a_webhook_of_a_tag_deploys_it_when_it_is_the_newest(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.git("tag", "v1")
    applied = await registry.apply(working_copy, tags='"v*"', pollInterval="1h")
    secret = applied.body["webhook"]["secret"]
    await registry.make_live()
    second = working_copy.commit({"digits/more.py": "# 2\n"})
    ignored = await push_by_webhook(registry, secret, "refs/heads/main", second)
    assert ignored.status == 204
    working_copy.git("tag", "-a", "-m", "two", "v2")
    tag = working_copy.git("rev-parse", "v2")
    assert (await push_by_webhook(registry, secret, "refs/tags/v2", tag)).status == 202
    await wait_for_live(registry, second)
    working_copy.git("tag", "v1.1")
    older = await push_by_webhook(registry, secret, "refs/tags/v1.1", second)
    assert (older.status, older.body["commit"]) == (200, second)
    assert await count_deployments(registry) == 2
    working_copy.git("tag", "--delete", "v2")
    working_copy.git("tag", "--delete", "v1.1")
    assert (await push_by_webhook(registry, secret, "refs/tags/v2", "0" * 40)).status == 202
    await wait_for_live(registry, working_copy.git("rev-parse", "v1"))


async def test_a_pushed_tag_is_checked_and_deployed_when_it_becomes_the_newest(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    remote = Remote(each_registry)
    assert (await each_registry.apply_hosted(tags='"v*"')).status == 200
    code, text = await remote.push(working_copy)
    told = "remote: stored, not deployed: leafscan is deployed from the newest tag that matches v*; there is none"
    assert (code, told in text) == (0, True), text
    working_copy.git("tag", "-a", "-m", "one", "v1.0")
    text = await remote.push_live(working_copy, "v1.0")
    assert "remote: the manifests are valid (" in text
    first = working_copy.git("rev-parse", "HEAD")
    assert (await each_registry.get("/api/v1/apps/leafscan"))["live"]["commit"] == first

    working_copy.commit(MISTAKE)
    working_copy.git("tag", "v1.1")
    working_copy.git("tag", "v0.9")
    code, text = await remote.push(working_copy, "v1.1")
    assert (code, 'manifests/api.yml:6:16: unknown field "paht"' in text) == (1, True), text
    code, text = await remote.push(working_copy, "main", "v0.9")
    assert (code, "matches v*, and v1.0 is newer than v0.9" in text) == (0, True), text
    assert "mlmesh deployment rollback leafscan ID" in text
    assert await count_deployments(each_registry) == 1


async def test_when_a_push_deletes_the_newest_tag_the_one_before_is_deployed_at_once(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    remote = Remote(registry)
    await registry.apply_hosted(tags='"v*"', pollInterval="1h")
    working_copy.git("tag", "v1.0")
    await remote.push_live(working_copy, "v1.0")
    first = (await registry.get_newest())["commit"]
    second = working_copy.commit({"digits/more.py": "# 2\n"})
    working_copy.git("tag", "v2.0")
    working_copy.git("tag", "v0.1")
    pushing = asyncio.ensure_future(remote.push(working_copy, "v2.0", "v0.1"))
    await wait_for_live(registry, second)
    await pushing
    pushing = asyncio.ensure_future(remote.push(working_copy, ":v2.0"))
    await wait_for_live(registry, first)
    code, text = await pushing
    assert (code, "remote: the newest tag that matches v* is v1.0 now" in text) == (0, True), text

    code, text = await remote.push(working_copy, ":v0.1")
    assert (code, "remote:" in text) == (0, False), text
    code, text = await remote.push(working_copy, ":v1.0")
    assert (code, "remote: no tag matches v* any more; what is live goes on" in text) == (0, True), text
    assert await count_deployments(registry) == 3


async def test_a_deployment_and_its_rollback_name_their_tag(registry: Registry, working_copy: WorkingCopy) -> None:
    working_copy.git("tag", "v1")
    await registry.apply(working_copy, tags='"v*"', pollInterval="1s")
    first = await registry.make_live()
    second = working_copy.commit({"digits/more.py": "# 2\n"})
    working_copy.git("tag", "-a", "-m", "two", "v2")
    await wait_for_live(registry, second)
    newest = await registry.get_newest()
    assert (first["tag"], newest["tag"]) == ("v1", "v2")
    assert newest["steps"][0]["detail"] == f"commit {second[:12]}, tag v2"
    await registry.call("POST", "/api/v1/apps/leafscan/rollback", {})
    rollback = await poll_until(registry.get_newest, lambda it: it["status"] == "starting")
    assert (rollback["trigger"], rollback["commit"], rollback["tag"]) == ("rollback", first["commit"], "v1")


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"branch": "main", "tags": "v*"}, '"branch" and "tags" exclude each other; remove one of them'),
        ({"tags": '"v[0-9]"'}, '"tags" must be a pattern of tags, such as v*, not "v[0-9]"'),
        ({"tags": '"-v"'}, '"tags" must be a pattern of tags, such as v*, not "-v"'),
    ],
)
async def test_one_of_branch_and_tags_is_followed(
    registry: Registry, working_copy: WorkingCopy, spec: dict[str, str], place: str
) -> None:
    answer = await registry.apply(working_copy, **spec)
    assert (answer.status, place in answer.body["detail"]) == (422, True), answer.body
