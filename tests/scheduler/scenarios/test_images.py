"""Images of a deployment from the outside: workers with an engine say what their names mean, and these are run."""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.errors import Conflict
from tests.scheduler.conftest import SHORT_LEASE_S, Mesh, healthy_status
from tests.scheduler.manifests import MANIFESTS, catalog_json
from tests.scheduler.scenarios.test_runs import BODY, go_live

KINDS = ("stage", "instance", "image")
NAME = "python:3.12"
FIRST, SECOND = "python@sha256:" + "1a" * 32, "python@sha256:" + "2b" * 32
TOOLS = catalog_json(MANIFESTS.replace(b'"python:3.12"}\n      entryPoint', b'"team/tools:1"}\n      entryPoint'))
"""Its stages run another image than its components."""
NO_IMAGES = catalog_json(MANIFESTS.partition(b"---\napiVersion: mlmesh/v1\nkind: MLComponent")[0])


async def connect(mesh: Mesh, *have: Any, worker: str = "w1") -> Any:
    """A heartbeat of a worker with an engine."""
    return await mesh.send_heartbeat(*have, worker=worker, kinds=KINDS)


async def claim_image(mesh: Mesh, worker: str = "w1") -> dict[str, Any]:
    lease = await mesh.claim(worker, kinds=KINDS)
    assert lease["kind"] == "image", lease
    return lease


async def deploy(mesh: Mesh, deployment: str, image: str) -> dict[str, Any]:
    """A deployment whose image is this one, live; the lease of its instance."""
    await connect(mesh)
    await mesh.deploy(deployment)
    await mesh.report(await claim_image(mesh), "succeeded", image=image)
    instance = await mesh.claim(kind="instance", kinds=KINDS)
    await connect(mesh, healthy_status(instance))
    await mesh.until_live(deployment)
    return instance


def holding(lease: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"task": lease["task"], "token": lease["token"], "state": "pulling", **fields}


def steps(mesh: Mesh, deployment: str) -> dict[str, str]:
    reported = mesh.services.reports.get(deployment, {"steps": []})
    return {step["name"]: f"{step['status']} {step['detail'] or ''}".rstrip() for step in reported["steps"]}


async def until_step(mesh: Mesh, deployment: str, name: str, text: str) -> None:
    async def is_reported() -> bool:
        return steps(mesh, deployment).get(name) == text

    await mesh.until(is_reported)


async def test_an_instance_and_a_stage_run_what_the_name_meant_at_the_deployment(mesh: Mesh) -> None:
    mesh.services.files.add("in/a.csv")
    await connect(mesh)
    await mesh.deploy("d1")
    lease = await claim_image(mesh)
    assert lease["spec"] == {"image": NAME, "image_credentials": None}
    assert await mesh.claim_once(kinds=KINDS) is None, "no instance is started before"
    await connect(mesh, holding(lease, detail="3 of 7 layers"))
    await until_step(mesh, "d1", "images", f"running pulling 1 of 1: {NAME}: 3 of 7 layers")
    assert list(steps(mesh, "d1")) == ["boxes", "images"]
    await mesh.report(lease, "succeeded", image=FIRST)
    instance = await mesh.claim(kinds=KINDS)
    assert (instance["kind"], instance["spec"]["image"]) == ("instance", FIRST)
    await connect(mesh, healthy_status(instance))
    await mesh.until_live("d1")
    assert list(steps(mesh, "d1")) == ["boxes", "images", "start", "switch"]
    assert steps(mesh, "d1")["images"] == f"succeeded {NAME} is sha256:{'1a' * 6}"

    status, _, _ = await mesh.submit(BODY)
    assert status == 202
    assert (await mesh.claim(kind="stage", kinds=KINDS))["spec"]["image"] == FIRST


async def test_a_new_deployment_asks_again_and_a_rollback_runs_the_old_image(mesh: Mesh) -> None:
    first = await deploy(mesh, "d1", FIRST)
    second = await deploy(mesh, "d2", SECOND)
    assert (first["spec"]["image"], second["spec"]["image"]) == (FIRST, SECOND)
    await mesh.deploy("d3", rollback_to="d1")
    third = await mesh.claim(kinds=KINDS)
    assert (third["kind"], third["spec"]["image"]) == ("instance", FIRST)
    await connect(mesh, healthy_status(third))
    await mesh.until_live("d3")
    assert steps(mesh, "d3")["images"] == f"succeeded {NAME} is sha256:{'1a' * 6}"
    await mesh.deploy("d4", rollback_to="d3")
    assert (await mesh.claim(kinds=KINDS))["spec"]["image"] == FIRST


async def test_a_rollback_to_another_apps_deployment_or_an_unknown_one_asks(mesh: Mesh) -> None:
    await deploy(mesh, "d1", FIRST)
    await mesh.deploy("e1", app="oak", rollback_to="d1")
    assert (await claim_image(mesh))["app"] == "oak"
    await mesh.deploy("d2", rollback_to="d_gone")
    assert (await claim_image(mesh))["app"] == "leaf"


async def test_a_promotion_runs_the_image_of_the_app_that_it_comes_from(mesh: Mesh) -> None:
    await deploy(mesh, "d1", FIRST)
    await mesh.deploy("e1", app="oak", rollback_to="d1", promoted_from="leaf")
    promoted = await mesh.claim(kinds=KINDS)
    assert (promoted["kind"], promoted["app"], promoted["spec"]["image"]) == ("instance", "oak", FIRST)


async def test_an_instance_that_is_restarted_runs_the_image_of_the_deployment(mesh: Mesh) -> None:
    instance = await deploy(mesh, "d1", FIRST)
    await mesh.report(instance, "failed", reason={"code": "exited", "detail": "killed"})
    assert (await mesh.claim(kinds=KINDS))["spec"]["image"] == FIRST


async def test_an_image_that_cannot_be_pulled_fails_the_deployment_and_the_live_one_goes_on(mesh: Mesh) -> None:
    old = await deploy(mesh, "d1", FIRST)
    await mesh.deploy("d2", TOOLS)
    leases = {lease["spec"]["image"]: lease for lease in [await claim_image(mesh), await claim_image(mesh)]}
    why = "cannot pull the image team/tools:1: pull access denied for team/tools, repository does not exist"
    await mesh.report(leases["team/tools:1"], "failed", reason={"code": "image", "detail": why})
    await mesh.until(lambda: mesh.is_reported("d2", "failed"))
    (error,) = mesh.services.reports["d2"]["errors"]
    assert (error["message"], error["reason"]) == (why, "image")
    assert steps(mesh, "d2") == {"boxes": "succeeded", "images": f"failed {why}"}
    orders = await connect(mesh, healthy_status(old), holding(leases[NAME]))
    assert orders["stop"] == [{"task": leases[NAME]["task"], "token": leases[NAME]["token"]}]
    await mesh.report(leases[NAME], "stopped")
    endpoints = (await mesh.get_app_routes())["components"]["echo"]["endpoints"]
    assert [endpoint["id"] for endpoint in endpoints] == [old["task"]]
    assert await mesh.claim_once(kinds=KINDS) is None


async def test_a_newer_deployment_takes_over_what_it_wants_and_cancels_the_rest(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1", TOOLS)
    leases = {lease["spec"]["image"]: lease for lease in [await claim_image(mesh), await claim_image(mesh)]}
    assert leases.keys() == {NAME, "team/tools:1"}
    await mesh.deploy("d2")
    await until_step(mesh, "d2", "images", f"running pulling 1 of 1: {NAME}: asks the engine")

    async def orders() -> Any:
        return (await connect(mesh, *map(holding, leases.values())))["stop"]

    unwanted = leases["team/tools:1"]
    assert await mesh.until(orders) == [{"task": unwanted["task"], "token": unwanted["token"]}]
    await mesh.report(unwanted, "stopped")
    await mesh.report(leases[NAME], "succeeded", image=SECOND)
    assert (await mesh.claim(kinds=KINDS))["spec"]["image"] == SECOND


@pytest.mark.settings(lease=SHORT_LEASE_S)
async def test_an_image_of_a_lost_worker_is_given_to_another(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1")
    lost = await claim_image(mesh)
    lease = await claim_image(mesh, "w2")
    assert (lease["task"], lease["spec"], lease["attempt"]) == (lost["task"], lost["spec"], 2)
    with pytest.raises(Conflict):
        await mesh.report(lost, "succeeded", image=SECOND)
    await mesh.report(lease, "succeeded", worker="w2", image=FIRST)
    assert (await mesh.claim("w2", kinds=KINDS))["spec"]["image"] == FIRST


async def test_an_image_that_a_stopping_worker_hands_back_is_given_to_another(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1")
    await mesh.report(await claim_image(mesh), "returned")
    assert (await claim_image(mesh, "w2"))["spec"]["image"] == NAME


async def test_an_engine_that_is_full_of_stages_still_takes_images(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1")
    assert (await mesh.claim(free=0, kinds=KINDS))["kind"] == "image"


async def test_a_mesh_of_processes_knows_no_images(mesh: Mesh) -> None:
    await mesh.send_heartbeat(kinds=KINDS[:2])
    await go_live(mesh)
    assert list(steps(mesh, "d1")) == ["boxes", "start", "switch"]
    assert await mesh.claim_once(kinds=KINDS) is None


async def test_a_worker_of_an_earlier_release_never_gets_an_image(mesh: Mesh) -> None:
    await mesh.send_heartbeat(worker="old")
    await connect(mesh)
    await mesh.deploy("d1")
    image = await claim_image(mesh)
    await mesh.report(image, "returned")
    assert await mesh.claim_once("old") is None
    assert (await claim_image(mesh))["task"] == image["task"]


async def test_without_an_engine_for_good_the_deployment_goes_on_without_exact_images(mesh: Mesh) -> None:
    """As when `mlmesh up` is started again, on processes."""
    await connect(mesh)
    await mesh.deploy("d1")
    image = await claim_image(mesh)
    await mesh.report(image, "returned")
    await mesh.send_heartbeat()
    instance = await mesh.claim()
    assert (instance["kind"], instance["spec"]["image"]) == ("instance", NAME)
    assert await mesh.claim_once(kinds=KINDS) is None


async def test_a_deployment_without_images_has_no_step_for_them(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1", NO_IMAGES)
    await mesh.until_live("d1")
    assert list(steps(mesh, "d1")) == ["boxes", "start", "switch"]


async def test_the_images_of_a_removed_app_are_not_pulled(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1", TOOLS)
    lease = await claim_image(mesh)
    await mesh.peer.delete("/internal/apps/leaf")
    orders = await connect(mesh, holding(lease))
    assert orders["stop"] == [{"task": lease["task"], "token": lease["token"]}]
    await mesh.report(lease, "stopped")
    assert await mesh.claim_once(kinds=KINDS) is None
