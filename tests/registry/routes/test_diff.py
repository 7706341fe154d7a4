"""Previews of deployments: of a branch, a commit, a folder; the real service, real Git."""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.identity import HEADER_SCOPES
from tests.registry.conftest import Registry
from tests.registry.working_copy import API, COMPONENT, MODULE, WorkingCopy

DIFF = "/api/v1/apps/leafscan/diff"
BOX = "apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: weights}\nspec: {s3DefaultStorage: {capacity: 1G}}\n"
MANIFESTS = {"manifests/component.yaml": COMPONENT, "manifests/api.yml": API}
STOPPED = "this deployment stops component digits: no manifest of it is in the commit"


def list_changes(diff: Any) -> list[tuple[str, ...]]:
    return [(it["action"], it["kind"], it["name"]) for it in diff["changes"]["items"]]


def list_instances(diff: Any) -> dict[str, str]:
    return {it["component"]: it["action"] for it in diff["instances"]}


async def test_before_the_first_deployment_everything_is_created(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    diff = await registry.get(DIFF)
    assert (diff["commit"], diff["live_commit"]) == (working_copy.git("rev-parse", "HEAD"), None)
    assert list_changes(diff) == [("created", "MLComponent", "digits"), ("created", "APIComponent", "digits-api")]
    assert (list_instances(diff), diff["boxes_kept"], diff["changes"]["since"]) == ({"digits": "start"}, [], None)


async def test_a_branch_is_compared_with_what_is_live_and_nothing_is_deployed(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/box.yml": BOX})
    await each_registry.apply(working_copy)
    live = await each_registry.make_live()
    assert list_instances(await each_registry.get(DIFF)) == {"digits": "keep"}
    working_copy.git("checkout", "--quiet", "-b", "feature/more")
    (working_copy.folder / "manifests/box.yml").unlink()
    more = COMPONENT.replace("name: digits}", "name: others}")
    commit = working_copy.commit(
        {"manifests/component.yaml": more, "manifests/api.yml": API.replace("digits}", "others}")}
    )
    for ref in ("feature/more", commit):
        diff = await each_registry.get(f"{DIFF}?ref={ref}")
        assert (diff["commit"], diff["live_commit"], diff["changes"]["since"]) == (commit, live["commit"], live["id"])
        assert list_changes(diff) == [
            ("removed", "MLComponent", "digits"), ("created", "MLComponent", "others"),
            ("changed", "APIComponent", "digits-api"), ("removed", "DataBox", "weights"),
        ]  # fmt: skip
        assert list_instances(diff) == {"digits": "stop", "others": "start"}
        assert [warning["message"] for warning in diff["warnings"]] == [STOPPED]
        assert diff["boxes_kept"] == ["weights"]
    assert (await each_registry.get_newest())["id"] == live["id"]


async def test_a_tag_is_compared_unless_a_branch_has_its_name(registry: Registry, working_copy: WorkingCopy) -> None:
    first = working_copy.git("rev-parse", "HEAD")
    working_copy.git("tag", "-a", "-m", "one", "v1")
    working_copy.git("tag", "side")
    second = working_copy.commit({"digits/more.py": ""})
    working_copy.git("branch", "side")
    await registry.apply(working_copy)
    assert [(await registry.get(f"{DIFF}?ref={ref}"))["commit"] for ref in ("v1", "side")] == [first, second]


async def test_a_folder_is_compared_without_being_committed(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    live = await registry.make_live()
    same = (await registry.call("POST", DIFF, {"files": MANIFESTS})).body
    assert (list_changes(same), list_instances(same), same["commit"]) == ([], {"digits": "replace"}, None)
    clean = (await registry.call("POST", DIFF, {"files": MANIFESTS, "commit": live["commit"]})).body
    assert (list_changes(clean), list_instances(clean)) == ([], {"digits": "keep"})
    more = COMPONENT + "  resources: {memory: 2Gi}\n"
    diff = (await registry.call("POST", DIFF, {"files": {**MANIFESTS, "manifests/component.yaml": more}})).body
    assert diff["changes"]["items"][0]["fields"] == [{"field": "spec.resources.memory", "before": None, "after": "2Gi"}]


async def test_mistakes_are_refused_with_their_places(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    bad = COMPONENT.replace("mlService", "mlServise")
    working_copy.commit({**MODULE, "manifests/component.yaml": bad})
    for answer in (
        await registry.call("GET", DIFF),
        await registry.call("POST", DIFF, {"files": {**MANIFESTS, "manifests/component.yaml": bad}}),
    ):
        assert answer.status == 422
        places = [(error["file"], error["line"], error["column"]) for error in answer.body["errors"]]
        assert ("manifests/component.yaml", 6, 3) in places


@pytest.mark.parametrize(
    ("ref", "status", "detail"),
    [
        ("nope", 422, "there is no branch nope; the repository has: main; and there is no tag of this name"),
        ("--upload-pack=x", 400, "'--upload-pack=x' is neither a branch, a tag nor a whole commit id"),
        ("a:b", 400, "'a:b' is neither a branch, a tag nor a whole commit id"),
    ],
)
async def test_a_ref_that_is_not_there(
    registry: Registry, working_copy: WorkingCopy, ref: str, status: int, detail: str
) -> None:
    await registry.apply(working_copy)
    answer = await registry.call("GET", f"{DIFF}?ref={ref}")
    assert (answer.status, answer.body["detail"]) == (status, detail)


async def test_who_may_ask_and_of_what(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    assert (await registry.call("GET", DIFF, headers={HEADER_SCOPES: "read:leafscan"})).status == 200
    assert (await registry.call("GET", DIFF, headers={HEADER_SCOPES: "write:other"})).status == 403
    assert (await registry.call("GET", "/api/v1/apps/nobody/diff")).status == 404
    assert (await registry.call("POST", DIFF, {"files": 1})).status == 400
