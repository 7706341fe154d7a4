"""Runs that go: by word, with or without what they published, and by age; and what is said of them afterwards."""

from __future__ import annotations

import orjson
import pytest

from libs.common.db import Database
from services.scheduler.runs.deletion import retention_seconds
from tests.scheduler.conftest import ALICE, Mesh
from tests.scheduler.manifests import MANIFESTS, catalog_json
from tests.scheduler.scenarios.test_chains import run_stage, submit_chain
from tests.scheduler.scenarios.test_runs import BODY, go_live


async def finish_run(mesh: Mesh) -> tuple[str, int]:
    """A run that has succeeded, and the token of its last stage."""
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    await mesh.report(await mesh.claim(kind="stage"), "succeeded")
    lease = await mesh.claim(kind="stage")
    await mesh.report(lease, "succeeded")
    await mesh.until(lambda: mesh.has_status(run["id"], "succeeded"))
    return run["id"], lease["token"]


async def test_a_run_is_removed_with_its_logs_and_files_and_is_gone_afterwards(mesh: Mesh) -> None:
    run, token = await finish_run(mesh)
    address = f"/internal/apps/leaf/runs/{run}"
    assert (await mesh.call("DELETE", address, files=True))[0] == 204
    for method, path in (("GET", ""), ("GET", "/logs"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
        status, answer, _ = await mesh.call(method, address + path)
        assert (status, answer["detail"]) == (410, f"the run {run} was removed")
    assert (await mesh.call("GET", "/internal/apps/leaf/runs"))[1]["items"] == []
    await mesh.until(lambda: _calls(mesh, 3))
    source = {"area": f"runs/{run}/train/{token}/model"}
    target = {"box": "data", "user": "alice", "group": "weights"}
    assert mesh.services.removals == [
        ("/internal/apps/leaf/removals", {"moves": [{"source": source, "target": target}]}),
        (f"/internal/apps/leaf/areas/runs/{run}", None),
        (f"/internal/apps/leaf/areas/logs/runs/{run}", None),
    ]


async def _calls(mesh: Mesh, count: int) -> bool:
    return len(mesh.services.removals) >= count


async def test_without_its_files_only_what_is_its_own_goes(mesh: Mesh) -> None:
    run, _ = await finish_run(mesh)
    assert (await mesh.call("DELETE", f"/internal/apps/leaf/runs/{run}"))[0] == 204
    await mesh.until(lambda: _calls(mesh, 2))
    assert [path for path, _ in mesh.services.removals if path.endswith("/removals")] == []


async def test_a_run_at_work_is_not_removed_nor_a_part_of_a_chain(mesh: Mesh) -> None:
    first = await submit_chain(mesh)
    status, answer, _ = await mesh.call("DELETE", f"/internal/apps/leaf/runs/{first}")
    assert (status, answer["detail"]) == (409, f"the run {first} is queued; cancel it first")
    await run_stage(mesh, "fit")
    await run_stage(mesh, "mark", "failed")
    await mesh.until(lambda: mesh.has_status(first, "failed"))
    second = (await mesh.get_run(first))["chain"][1]["id"]
    status, answer, _ = await mesh.call("DELETE", f"/internal/apps/leaf/runs/{second}")
    assert (status, answer["detail"]) == (409, f"the run belongs to the chain {first}; delete that run")
    assert (await mesh.call("DELETE", f"/internal/apps/leaf/runs/{first}"))[0] == 204
    assert (await mesh.call("GET", f"/internal/apps/leaf/runs/{second}"))[0] == 410
    other = {**ALICE, "X-Mlmesh-User": "eve"}
    assert (await mesh.call("DELETE", "/internal/apps/leaf/runs/r_none", headers=other))[0] == 404


@pytest.fixture
def frequent_retention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.control_loops.RETENTION_S", 0.2)


@pytest.mark.settings(retention=1.0)
async def test_runs_go_by_age_and_what_is_at_work_stays(frequent_retention: None, mesh: Mesh) -> None:
    run, _ = await finish_run(mesh)
    _, waiting, _ = await mesh.submit(BODY)
    address = f"/internal/apps/leaf/runs/{run}"

    async def gone() -> bool:
        return (await mesh.call("GET", address))[0] == 410

    await mesh.until(gone)
    assert (await mesh.get_run(waiting["id"]))["status"] == "queued"


async def test_what_an_attempt_left_that_was_not_accepted_goes_when_it_can_upload_no_more(
    frequent_retention: None, monkeypatch: pytest.MonkeyPatch, mesh: Mesh
) -> None:
    monkeypatch.setattr("services.scheduler.db.tasks.UPLOAD_LINK_TTL_S", 0.5)
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    first = await mesh.claim(kind="stage")
    await mesh.report(first, "lost")
    await mesh.report(await mesh.claim(kind="stage"), "succeeded")
    await mesh.report(await mesh.claim(kind="stage"), "failed", reason={"code": "quota", "detail": "full"})
    await mesh.until(lambda: _calls(mesh, 2))
    left = [f"runs/{run['id']}/prepare/{first['token']}", f"runs/{run['id']}/train/1"]
    assert mesh.services.removals == [(f"/internal/apps/leaf/areas/{area}", None) for area in left]


def test_an_app_says_how_long_its_runs_are_kept() -> None:
    own = b"---\napiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: leaf}\nspec: {title: Leaf, retention: 2h}\n"
    assert retention_seconds(catalog_json(MANIFESTS + own)["app"], 5.0) == 7200
    assert (retention_seconds(catalog_json()["app"], 5.0), retention_seconds(None, 5.0)) == (5.0, 5.0)


async def test_changes_of_a_run_are_told_as_events_to_its_end(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    path = f"/internal/apps/leaf/runs/{run['id']}/events"
    seen = []
    async with mesh.peer.stream("GET", path, headers=ALICE) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lease = await mesh.claim(kind="stage")
        await mesh.report(lease, "failed", reason={"code": "error", "detail": "boom"})
        seen = (await answer.read()).decode().strip().split("\n\n")
    states = [orjson.loads(event.rpartition("data: ")[2])["status"] for event in seen]
    assert (states[0], states[-1]) == ("queued", "failed")
    last = seen[-1].partition("\n")[0].removeprefix("id: ")
    async with mesh.peer.stream("GET", path, headers={**ALICE, "Last-Event-ID": last}) as answer:
        assert b"data" not in await answer.read()


async def test_a_removed_run_frees_its_idempotency_key(mesh: Mesh, database_url: str) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY, **{"Idempotency-Key": "k"})
    assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{run['id']}/cancel"))[0] == 202
    await mesh.until(lambda: mesh.has_status(run["id"], "canceled"))
    assert (await mesh.call("DELETE", f"/internal/apps/leaf/runs/{run['id']}"))[0] == 204
    status, again, _ = await mesh.submit(BODY, **{"Idempotency-Key": "k"})
    assert (status, again["id"] != run["id"]) == (202, True)
    database = Database(database_url)
    async with database.read() as conn:
        left = await conn.exec_driver_sql("SELECT count(*) FROM scheduler_tasks WHERE kind = 'stage'")
        assert left.scalar_one() == 2
    await database.close()
