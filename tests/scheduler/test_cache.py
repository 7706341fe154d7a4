"""The stage cache at the scheduler: what is taken over, by whom, and how long it stays."""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.errors import Conflict
from tests.scheduler.conftest import ALICE, Mesh, healthy
from tests.scheduler.manifests import MANIFESTS, catalog_json
from tests.scheduler.test_service import BODY

CACHED = MANIFESTS.replace(b"entryPoint: python prepare.py", b"entryPoint: python prepare.py\n      cache: true")
MADE = {"features": {"files": 1, "bytes": 9, "sha256": "f" * 64}}


async def live(mesh: Mesh) -> None:
    mesh.neighbours.files.add("in/a.csv")
    await mesh.deploy("d1", catalog_json(CACHED))
    await mesh.sync(healthy(await mesh.claim(free=0)))
    await mesh.live("d1")


async def begun(mesh: Mesh, **body: Any) -> tuple[str, dict[str, Any]]:
    """A run and the lease of its first stage."""
    _, run, _ = await mesh.submit({**BODY, **body})
    return run["id"], await mesh.claim(kind="stage")


async def reuse(mesh: Mesh, lease: dict[str, Any], content: str) -> bool:
    body = {"worker": "w1", "token": lease["token"], "content": content}
    return bool((await mesh.peer.post(f"/internal/tasks/{lease['task']}/reuse", body))["reused"])


async def ended(mesh: Mesh, run: str) -> dict[str, Any]:
    lease = await mesh.claim(kind="stage")
    await mesh.report(lease, "succeeded")
    await mesh.until(lambda: mesh.status(run, "succeeded"))
    return lease


async def test_a_stage_takes_over_what_an_earlier_run_made_and_says_so(mesh: Mesh) -> None:
    await live(mesh)
    first, lease = await begun(mesh)
    assert lease["spec"]["cache"] == "read"
    assert not await reuse(mesh, lease, "c1")
    await mesh.report(lease, "succeeded", outputs=MADE, content="c1")
    assert (await ended(mesh, first))["spec"]["cache"] == "off"
    second, again = await begun(mesh)
    assert not await reuse(mesh, again, "c2")
    assert await reuse(mesh, again, "c1")
    with pytest.raises(Conflict, match="this lease is over"):
        await mesh.report(again, "succeeded")
    train = await ended(mesh, second)
    assert train["spec"]["inputs"][0]["source"] == {"area": f"runs/{first}/prepare/{lease['token']}/features"}
    stage = (await mesh.run(second))["stages"][0]
    assert (stage["status"], stage["reused"]) == (
        "succeeded",
        {"run": first, "stage": "prepare", "token": lease["token"]},
    )


async def test_whose_result_it_was_is_told_to_its_own_user_only(mesh: Mesh) -> None:
    await live(mesh)
    first, lease = await begun(mesh)
    await mesh.report(lease, "succeeded", outputs=MADE, content="c1")
    await ended(mesh, first)
    theirs = {"X-Mlmesh-User": "bob"}
    _, run, _ = await mesh.submit(BODY, **theirs)
    assert await reuse(mesh, await mesh.claim(kind="stage"), "c1")
    shown = (await mesh.call("GET", f"/internal/apps/leaf/runs/{run['id']}", headers={**ALICE, **theirs}))[1]
    assert shown["stages"][0]["reused"] == {"stage": "prepare"}


async def test_a_caller_decides_whether_the_cache_is_read(mesh: Mesh) -> None:
    await live(mesh)
    for mode in ("off", "refresh"):
        run, lease = await begun(mesh, cache=mode)
        assert lease["spec"]["cache"] == mode
        await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/cancel")
        await mesh.report(lease, "canceled")
    status, answer, _ = await mesh.submit({**BODY, "cache": "yes"})
    assert (status, answer["errors"]) == (422, [{"input": "cache", "message": "must be one of off, read, refresh"}])


async def test_files_stay_while_another_run_has_taken_them_over(mesh: Mesh) -> None:
    await live(mesh)
    first, lease = await begun(mesh)
    await mesh.report(lease, "succeeded", outputs=MADE, content="c1")
    await ended(mesh, first)
    second, again = await begun(mesh)
    assert await reuse(mesh, again, "c1")
    await ended(mesh, second)
    assert (await mesh.call("DELETE", f"/internal/apps/leaf/runs/{first}"))[0] == 204
    third, fresh = await begun(mesh)
    assert not await reuse(mesh, fresh, "c1"), "who is gone gives nothing any more"
    await mesh.report(fresh, "succeeded", outputs=MADE)
    await ended(mesh, third)
    assert mesh.neighbours.removed == []
    assert (await mesh.call("DELETE", f"/internal/apps/leaf/runs/{second}"))[0] == 204

    async def cleared() -> bool:
        return len(mesh.neighbours.removed) == 4

    await mesh.until(cleared)
