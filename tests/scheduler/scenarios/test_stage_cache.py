"""The stage cache: which results are reused, who sees their origin, and how long their files stay."""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.errors import Conflict
from tests.scheduler.conftest import ALICE, Mesh, healthy_status
from tests.scheduler.manifests import MANIFESTS, catalog_json
from tests.scheduler.scenarios.test_runs import BODY

CACHED = MANIFESTS.replace(b"entryPoint: python prepare.py", b"entryPoint: python prepare.py\n      cache: true")
OUTPUTS = {"features": {"files": 1, "bytes": 9, "sha256": "f" * 64}}


async def deploy_cached_pipeline(mesh: Mesh) -> None:
    mesh.services.files.add("in/a.csv")
    await mesh.deploy("d1", catalog_json(CACHED))
    await mesh.send_heartbeat(healthy_status(await mesh.claim(free=0)))
    await mesh.until_live("d1")


async def start_run(mesh: Mesh, **body: Any) -> tuple[str, dict[str, Any]]:
    """Submit a run; returns its id and the lease of its first stage."""
    _, run, _ = await mesh.submit({**BODY, **body})
    return run["id"], await mesh.claim(kind="stage")


async def request_reuse(mesh: Mesh, lease: dict[str, Any], content: str) -> bool:
    body = {"worker": "w1", "token": lease["token"], "content": content}
    return bool((await mesh.peer.post(f"/internal/tasks/{lease['task']}/reuse", body))["reused"])


async def finish_run(mesh: Mesh, run: str) -> dict[str, Any]:
    lease = await mesh.claim(kind="stage")
    await mesh.report(lease, "succeeded")
    await mesh.until(lambda: mesh.has_status(run, "succeeded"))
    return lease


async def test_a_stage_takes_over_what_an_earlier_run_made_and_says_so(mesh: Mesh) -> None:
    await deploy_cached_pipeline(mesh)
    first, lease = await start_run(mesh)
    assert lease["spec"]["cache"] == "read"
    assert not await request_reuse(mesh, lease, "c1")
    await mesh.report(lease, "succeeded", outputs=OUTPUTS, content="c1")
    assert (await finish_run(mesh, first))["spec"]["cache"] == "off"
    second, second_lease = await start_run(mesh)
    assert not await request_reuse(mesh, second_lease, "c2")
    assert await request_reuse(mesh, second_lease, "c1")
    with pytest.raises(Conflict, match="this lease is over"):
        await mesh.report(second_lease, "succeeded")
    train = await finish_run(mesh, second)
    assert train["spec"]["inputs"][0]["source"] == {"area": f"runs/{first}/prepare/{lease['token']}/features"}
    stage = (await mesh.get_run(second))["stages"][0]
    assert (stage["status"], stage["reused"]) == (
        "succeeded",
        {"run": first, "stage": "prepare", "token": lease["token"]},
    )


async def test_whose_result_it_was_is_told_to_its_own_user_only(mesh: Mesh) -> None:
    await deploy_cached_pipeline(mesh)
    first, lease = await start_run(mesh)
    await mesh.report(lease, "succeeded", outputs=OUTPUTS, content="c1")
    await finish_run(mesh, first)
    bob = {"X-Mlmesh-User": "bob"}
    _, run, _ = await mesh.submit(BODY, **bob)
    assert await request_reuse(mesh, await mesh.claim(kind="stage"), "c1")
    run_json = (await mesh.call("GET", f"/internal/apps/leaf/runs/{run['id']}", headers={**ALICE, **bob}))[1]
    assert run_json["stages"][0]["reused"] == {"stage": "prepare"}


async def test_a_caller_decides_whether_the_cache_is_read(mesh: Mesh) -> None:
    await deploy_cached_pipeline(mesh)
    for mode in ("off", "refresh"):
        run, lease = await start_run(mesh, cache=mode)
        assert lease["spec"]["cache"] == mode
        await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/cancel")
        await mesh.report(lease, "canceled")
    status, answer, _ = await mesh.submit({**BODY, "cache": "yes"})
    assert (status, answer["errors"]) == (422, [{"input": "cache", "message": "must be one of off, read, refresh"}])


async def test_files_stay_while_another_run_has_taken_them_over(mesh: Mesh) -> None:
    await deploy_cached_pipeline(mesh)
    first, lease = await start_run(mesh)
    await mesh.report(lease, "succeeded", outputs=OUTPUTS, content="c1")
    await finish_run(mesh, first)
    second, second_lease = await start_run(mesh)
    assert await request_reuse(mesh, second_lease, "c1")
    await finish_run(mesh, second)
    assert (await mesh.call("DELETE", f"/internal/apps/leaf/runs/{first}"))[0] == 204
    third, third_lease = await start_run(mesh)
    assert not await request_reuse(mesh, third_lease, "c1"), "the cache entries of a deleted run are deleted"
    await mesh.report(third_lease, "succeeded", outputs=OUTPUTS)
    await finish_run(mesh, third)
    assert mesh.services.removals == []
    assert (await mesh.call("DELETE", f"/internal/apps/leaf/runs/{second}"))[0] == 204

    async def are_files_deleted() -> bool:
        return len(mesh.services.removals) == 4

    await mesh.until(are_files_deleted)
