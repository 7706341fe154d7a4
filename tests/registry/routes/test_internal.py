"""What the scheduler and the worker ask."""

import io
import shutil
import tarfile

import pytest

from tests.registry.conftest import Registry
from tests.registry.working_copy import MODULE, Work

STEP = {"name": "digits", "status": "running", "detail": "starting", "started_at": 1.0, "finished_at": None}


async def test_reports_replace_the_schedulers_own_steps(either: Registry, work: Work) -> None:
    await either.apply(work)
    found = await either.settled("starting")
    assert (await either.report(found["id"], status="starting", steps=[STEP])).status == 204
    done = {**STEP, "status": "succeeded", "finished_at": 2.5}
    await either.report(found["id"], status="live", steps=[done], warnings=["image names are ignored"])
    shown = await either.newest()
    assert [step["name"] for step in shown["steps"]] == [
        "fetch",
        "validate",
        "revision",
        "secrets",
        "announce",
        "digits",
    ]
    assert shown["steps"][-1]["finished_at"] == "1970-01-01T00:00:02.500Z"
    assert (shown["status"], shown["warnings"]) == ("live", ["image names are ignored"])
    assert (await either.get("/internal/deployments?status=starting"))["items"] == []


async def test_a_failed_start_has_the_schedulers_errors_and_leaves_the_live_one(registry: Registry, work: Work) -> None:
    await registry.apply(work)
    live = await registry.live()
    work.commit({})
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    found = await registry.settled("starting")
    error = {
        "message": "digits: ImportError: no module named x",
        "file": "manifests/component.yaml",
        "line": 3,
        "column": 1,
    }
    await registry.report(found["id"], status="failed", errors=[error])
    failed = await registry.newest()
    assert (failed["status"], failed["errors"]) == ("failed", [error])
    assert (await registry.get("/api/v1/apps/leafscan"))["live"]["id"] == live["id"]
    await registry.report(found["id"], status="live")
    assert (await registry.newest())["status"] == "failed"


async def test_late_and_repeated_reports_change_nothing_that_has_ended(registry: Registry, work: Work) -> None:
    await registry.apply(work)
    first = await registry.live()
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    second = await registry.live()
    for status in ("live", "superseded", "failed", "starting"):
        await registry.report(first["id"], status=status)
    await registry.report(second["id"], status="live")
    after = await registry.newest()
    assert (after["status"], after["live_at"]) == ("live", second["live_at"])
    assert (await registry.get(f"/api/v1/apps/leafscan/deployments/{first['id']}"))["status"] == "superseded"


async def test_an_unknown_deployment_or_status_is_told(registry: Registry) -> None:
    assert (await registry.report("unknown", status="live")).status == 404
    assert (await registry.report("unknown", status="nonsense")).status == 422


@pytest.mark.parametrize("lost", [False, True])
async def test_the_source_is_the_tree_at_the_deployed_commit(registry: Registry, work: Work, lost: bool) -> None:
    await registry.apply(work)
    first = await registry.live()
    work.commit({"digits/later.py": ""})
    if lost:
        shutil.rmtree(registry.settings.data / "registry/git/leafscan.git")
    answer = await registry.call("GET", f"/internal/apps/leafscan/source/{first['commit']}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/gzip")
    with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:gz") as archive:
        assert {name for name in archive.getnames() if "." in name} == set(MODULE)


async def test_only_deployed_commits_of_the_app_have_a_source(registry: Registry, work: Work) -> None:
    await registry.apply(work)
    await registry.live()
    later = work.commit({})
    for path in (
        f"leafscan/source/{later}",
        "leafscan/source/HEAD",
        "leafscan/source/--output=x",
        f"nobody/source/{later}",
    ):
        assert (await registry.call("GET", f"/internal/apps/{path}")).status == 404, path


async def test_a_commit_that_is_gone_everywhere_is_404(registry: Registry, work: Work) -> None:
    await registry.apply(work)
    live = await registry.live()
    shutil.rmtree(registry.settings.data / "registry/git/leafscan.git")
    shutil.rmtree(work.folder)
    assert (await registry.call("GET", f"/internal/apps/leafscan/source/{live['commit']}")).status == 404
