"""A commit that is live in one app is deployed in another one."""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.identity import HEADER_SCOPES
from tests.registry.conftest import Registry
from tests.registry.scenarios.test_pushes import Remote
from tests.registry.working_copy import WorkingCopy

PROMOTE = "/api/v1/apps/leaf/promote"


async def attach(registry: Registry, working_copy: WorkingCopy) -> Any:
    """Two apps of one repository, of which `staging` is a commit ahead; its live deployment."""
    await registry.apply(working_copy, app="leaf")
    await registry.make_live(app="leaf")
    working_copy.commit({"digits/more.py": ""}, "the second version")
    await registry.apply(working_copy, app="staging")
    return await registry.make_live(app="staging")


async def test_a_promotion_deploys_the_live_commit_and_names_its_source(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    source = await attach(each_registry, working_copy)
    working_copy.commit({"digits/more.py": "1"}, "the third version")
    answer = await each_registry.call("POST", PROMOTE, {"from": "staging"})
    assert answer.status == 202, answer.body
    promoted = answer.body
    assert answer.headers["Location"] == f"/api/v1/apps/leaf/deployments/{promoted['id']}"
    assert (promoted["app"], promoted["trigger"], promoted["caused_by"]) == ("leaf", "promotion", "token tests")
    assert promoted["repeats"] == {"app": "staging", "deployment": source["id"]}
    assert (promoted["commit"], promoted["message"]) == (source["commit"], "the second version")
    await each_registry.wait_for_status("starting", app="leaf")
    (item,) = (await each_registry.get("/internal/deployments?status=starting"))["items"]
    assert (item["commit"], item["rollback_to"], item["promoted_from"]) == (source["commit"], source["id"], "staging")
    assert (await each_registry.make_live(app="leaf"))["commit"] == source["commit"]


async def test_an_older_commit_is_named_by_its_beginning(registry: Registry, working_copy: WorkingCopy) -> None:
    first = await attach(registry, working_copy)
    working_copy.commit({"digits/more.py": "1"}, "the third version")
    await registry.call("POST", "/api/v1/apps/staging/sync")
    await registry.make_live(app="staging")
    promoted = (await registry.call("POST", PROMOTE, {"from": "staging", "commit": first["commit"][:8]})).body
    assert (promoted["commit"], promoted["repeats"]["deployment"]) == (first["commit"], first["id"])


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"from": "nobody"}, 404, 'there is no app "nobody"'),
        ({"from": "staging", "commit": "0" * 40}, 409,
         f"commit {'0' * 40} was never live in staging; promote one that was"),
        ({"from": "staging", "commit": "%%%%%%%"}, 409,
         "commit %%%%%%% was never live in staging; promote one that was"),
        ({"from": "fresh"}, 409, "nothing is live in fresh yet; deploy it there first"),
    ],
)  # fmt: skip
async def test_what_was_never_live_cannot_be_promoted(
    registry: Registry, working_copy: WorkingCopy, body: Any, status: int, detail: str
) -> None:
    await attach(registry, working_copy)
    await registry.apply(working_copy, app="fresh")
    answer = await registry.call("POST", PROMOTE, body)
    assert (answer.status, answer.body["detail"]) == (status, detail)


async def test_an_app_of_another_repository_is_refused(registry: Registry, working_copy: WorkingCopy) -> None:
    await attach(registry, working_copy)
    assert (await registry.apply_hosted("oak")).status == 200
    answer = await registry.call("POST", "/api/v1/apps/oak/promote", {"from": "staging"})
    assert answer.status == 409
    assert (
        "oak is deployed from its repository in the mesh, which is not the repository of staging"
        in (answer.body["detail"])
    )


async def test_between_hosted_repositories_the_commit_is_copied_and_no_branch_moves(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    staging, leaf = Remote(registry, "staging"), Remote(registry, "leaf")
    first = working_copy.git("rev-parse", "HEAD")
    await leaf.push_live(working_copy)
    second = working_copy.commit({"digits/more.py": ""}, "the second version")
    await staging.push_live(working_copy)
    promoted = (await registry.call("POST", PROMOTE, {"from": "staging"})).body
    assert (promoted["commit"], promoted["repeats"]["app"]) == (second, "staging")
    assert (await registry.make_live(app="leaf"))["commit"] == second
    _, refs = await leaf.run(working_copy, "ls-remote", leaf.url)
    assert {line.split()[0] for line in refs.splitlines()} == {first}
    third = working_copy.commit({"digits/more.py": "1"}, "the third version")
    await leaf.push_live(working_copy)
    assert (await registry.get("/api/v1/apps/leaf"))["live"]["commit"] == third


async def test_a_commit_of_another_history_is_refused_and_not_kept(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    staging, leaf = Remote(registry, "staging"), Remote(registry, "leaf")
    await leaf.push_live(working_copy)
    working_copy.git("checkout", "--quiet", "--orphan", "other")
    commit = working_copy.commit({"digits/more.py": ""}, "another history")
    await staging.push_live(working_copy, "other:main")
    answer = await registry.call("POST", PROMOTE, {"from": "staging"})
    assert (answer.status, answer.body["detail"]) == (
        409,
        f"commit {commit[:12]} of staging has no ancestor in common with what leaf has; if it is to replace that, push "
        f"it to the repository of leaf: git push --force {registry.settings.public_url}/git/leaf.git "
        f"{commit[:12]}:refs/heads/main",
    )
    assert [item["trigger"] for item in (await registry.get("/api/v1/apps/leaf/deployments"))["items"]] == ["push"]
    folder = next(registry.settings.data.rglob("repositories/leaf.git"))
    assert working_copy.git("--git-dir", str(folder), "for-each-ref", "refs/mlmesh/promoted") == ""


async def test_an_app_that_nothing_was_pushed_to_gets_a_commit_by_promotion(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await Remote(registry, "staging").push_live(working_copy)
    assert (await registry.apply_hosted("leaf")).status == 200
    assert (await registry.call("POST", PROMOTE, {"from": "staging"})).status == 202
    assert (await registry.make_live(app="leaf"))["commit"] == working_copy.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("scopes", "status"), [("read:staging write:leaf", 202), ("write:leaf", 403), ("read:staging read:leaf", 403)]
)
async def test_it_needs_to_read_the_one_and_to_write_the_other(
    registry: Registry, working_copy: WorkingCopy, scopes: str, status: int
) -> None:
    await attach(registry, working_copy)
    answer = await registry.call("POST", PROMOTE, {"from": "staging"}, headers={HEADER_SCOPES: scopes})
    assert answer.status == status
