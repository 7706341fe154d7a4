"""The internal API for scheduler and worker."""

import io
import shutil
import tarfile

import pytest

from tests.registry.conftest import Registry
from tests.registry.working_copy import MODULE, WorkingCopy

STEP = {"name": "digits", "status": "running", "detail": "starting", "started_at": 1.0, "finished_at": None}


async def test_reports_replace_the_schedulers_own_steps(each_registry: Registry, working_copy: WorkingCopy) -> None:
    await each_registry.apply(working_copy)
    deployment = await each_registry.wait_for_status("starting")
    assert (await each_registry.report(deployment["id"], status="starting", steps=[STEP])).status == 204
    done = {**STEP, "status": "succeeded", "finished_at": 2.5}
    warning = {"message": "image names are ignored"}
    await each_registry.report(deployment["id"], status="live", steps=[done], warnings=[warning])
    updated = await each_registry.get_newest()
    assert [step["name"] for step in updated["steps"]] == [
        "fetch",
        "validate",
        "revision",
        "secrets",
        "announce",
        "digits",
    ]
    assert updated["steps"][-1]["finished_at"] == "1970-01-01T00:00:02.500Z"
    assert (updated["status"], updated["warnings"]) == ("live", [warning])
    assert (await each_registry.get("/internal/deployments?status=starting"))["items"] == []


async def test_a_failed_start_has_the_schedulers_errors_and_leaves_the_live_one(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy)
    live = await registry.make_live()
    working_copy.commit({})
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    deployment = await registry.wait_for_status("starting")
    error = {
        "message": "digits: ImportError: no module named x",
        "file": "manifests/component.yaml",
        "line": 3,
        "column": 1,
    }
    await registry.report(deployment["id"], status="failed", errors=[error])
    failed = await registry.get_newest()
    assert (failed["status"], failed["errors"]) == ("failed", [error])
    assert (await registry.get("/api/v1/apps/leafscan"))["live"]["id"] == live["id"]
    await registry.report(deployment["id"], status="live")
    assert (await registry.get_newest())["status"] == "failed"


async def test_late_and_repeated_reports_change_nothing_that_has_ended(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy)
    first = await registry.make_live()
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    second = await registry.make_live()
    for status in ("live", "superseded", "failed", "starting"):
        await registry.report(first["id"], status=status)
    await registry.report(second["id"], status="live")
    newest = await registry.get_newest()
    assert (newest["status"], newest["live_at"]) == ("live", second["live_at"])
    assert (await registry.get(f"/api/v1/apps/leafscan/deployments/{first['id']}"))["status"] == "superseded"


async def test_an_unknown_deployment_or_status_is_told(registry: Registry) -> None:
    assert (await registry.report("unknown", status="live")).status == 404
    assert (await registry.report("unknown", status="nonsense")).status == 422


@pytest.mark.parametrize("lost", [False, True])
async def test_the_source_is_the_tree_at_the_deployed_commit(
    registry: Registry, working_copy: WorkingCopy, lost: bool
) -> None:
    await registry.apply(working_copy)
    first = await registry.make_live()
    working_copy.commit({"digits/later.py": ""})
    if lost:
        shutil.rmtree(registry.settings.data / "registry/git/leafscan.git")
    answer = await registry.call("GET", f"/internal/apps/leafscan/source/{first['commit']}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/gzip")
    with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:gz") as archive:
        assert {name for name in archive.getnames() if "." in name} == set(MODULE)


async def test_only_deployed_commits_of_the_app_have_a_source(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    await registry.make_live()
    later = working_copy.commit({})
    for path in (
        f"leafscan/source/{later}",
        "leafscan/source/HEAD",
        "leafscan/source/--output=x",
        f"nobody/source/{later}",
    ):
        assert (await registry.call("GET", f"/internal/apps/{path}")).status == 404, path


async def test_a_commit_that_is_gone_everywhere_is_404(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    live = await registry.make_live()
    shutil.rmtree(registry.settings.data / "registry/git/leafscan.git")
    shutil.rmtree(working_copy.folder)
    assert (await registry.call("GET", f"/internal/apps/leafscan/source/{live['commit']}")).status == 404


async def test_a_rollback_names_the_deployment_that_is_wanted_again(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    await each_registry.apply(working_copy)
    first = await each_registry.make_live()
    again = await each_registry.call("POST", "/api/v1/apps/leafscan/sync")
    assert again.status == 202
    await each_registry.make_live()
    for body in ({"deployment": first["id"]}, {"commit": first["commit"]}):
        await each_registry.call("POST", "/api/v1/apps/leafscan/rollback", body)
        await each_registry.wait_for_status("starting")
        (starting,) = (await each_registry.get("/internal/deployments?status=starting"))["items"]
        wanted = first["id"] if "deployment" in body else again.body["id"]
        assert (starting["commit"], starting["rollback_to"]) == (first["commit"], wanted)
        again = await each_registry.call("POST", "/api/v1/apps/leafscan/sync")
        await each_registry.make_live()
