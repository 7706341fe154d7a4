"""Builds of a deployment from the outside: workers build what manifests ask for, once, and run it where it is."""

from __future__ import annotations

from typing import Any

from tests.scheduler.conftest import OWNER, Mesh, healthy_status
from tests.scheduler.manifests import MANIFESTS, catalog_json
from tests.scheduler.scenarios.test_images import holding, steps, until_step
from tests.scheduler.scenarios.test_runs import BODY

KINDS = ("stage", "instance", "image", "build")
IMAGE = "sha256:" + "1a" * 32
ENGINE, OTHER = "engine-1", "engine-2"


def built_catalog(tree: str = "1f" * 20) -> dict[str, Any]:
    """Its component and its stages are built from the same folder."""
    manifests = MANIFESTS.replace(b'existingImageName: "python:3.12"', b"build: {}")
    return {**catalog_json(manifests), "trees": {".": tree}}


def two_builds_catalog() -> dict[str, Any]:
    """Its component and its stages are built with other arguments."""
    built = b'existingImageName: "python:3.12"'
    manifests = MANIFESTS.replace(built, b"build: {args: {N: '1'}}", 1).replace(built, b"build: {}")
    return {**catalog_json(manifests), "trees": {".": "1f" * 20}}


async def connect(mesh: Mesh, *have: Any, worker: str = "w1", engine: str = ENGINE) -> Any:
    return await mesh.send_heartbeat(*have, worker=worker, kinds=KINDS, engine=engine)


async def claim_build(mesh: Mesh) -> dict[str, Any]:
    lease = await mesh.claim("w1", kinds=KINDS, engine=ENGINE)
    assert lease["kind"] == "build", lease
    return lease


async def deploy(mesh: Mesh, deployment: str, tree: str = "1f" * 20, **over: Any) -> dict[str, Any]:
    """A deployment whose image is built, live; the lease of its instance."""
    await connect(mesh)
    await mesh.deploy(deployment, built_catalog(tree), **over)
    await mesh.report(await claim_build(mesh), "succeeded", image=IMAGE, engine=ENGINE)
    return await start(mesh, deployment)


async def until_started(mesh: Mesh, deployment: str) -> None:
    async def has_started() -> bool:
        return "start" in steps(mesh, deployment)

    await mesh.until(has_started)


async def start(mesh: Mesh, deployment: str) -> dict[str, Any]:
    instance = await mesh.claim(kind="instance", kinds=KINDS, engine=ENGINE)
    await connect(mesh, healthy_status(instance))
    await mesh.until_live(deployment)
    return instance


async def test_a_component_and_its_stages_run_one_image_that_is_built_once(mesh: Mesh) -> None:
    mesh.services.files.add("in/a.csv")
    await connect(mesh)
    await mesh.deploy("d1", built_catalog())
    lease = await claim_build(mesh)
    assert (lease["spec"]["context"], lease["spec"]["log"]) == (".", f"builds/{lease['task']}/1")
    assert lease["commit"] == lease["spec"]["commit"]
    assert await mesh.claim_once(kinds=KINDS, engine=ENGINE) is None, "one build, and no instance before it"
    await connect(mesh, holding(lease, detail="[3/5] RUN pip"))
    title = lease["spec"]["title"]
    await until_step(mesh, "d1", "images", f"running building 1 of 1: {title}: [3/5] RUN pip")
    await mesh.report(lease, "succeeded", image=IMAGE, engine=ENGINE)
    assert (await start(mesh, "d1"))["spec"]["image"] == IMAGE
    assert steps(mesh, "d1")["images"].endswith(f" is sha256:{'1a' * 6}")
    status, _, _ = await mesh.submit(BODY)
    assert status == 202
    assert (await mesh.claim(kind="stage", kinds=KINDS, engine=ENGINE))["spec"]["image"] == IMAGE


async def test_what_runs_a_built_image_is_given_only_to_an_engine_that_has_it(mesh: Mesh) -> None:
    await connect(mesh)
    await connect(mesh, worker="w2", engine=OTHER)
    await mesh.deploy("d1", built_catalog())
    await mesh.report(await claim_build(mesh), "succeeded", image=IMAGE, engine=ENGINE)
    await until_started(mesh, "d1")
    assert await mesh.claim_once("w2", kinds=KINDS, engine=OTHER) is None
    assert await mesh.claim_once("w3", kinds=KINDS[:2]) is None
    assert (await mesh.claim("w1", kinds=KINDS, engine=ENGINE))["kind"] == "instance"


async def test_a_component_that_waits_for_the_engine_of_its_image_says_so(mesh: Mesh) -> None:
    await connect(mesh)
    await connect(mesh, worker="w2", engine=OTHER)
    await mesh.deploy("d1", built_catalog())
    await mesh.report(await claim_build(mesh), "succeeded", image=IMAGE, engine=ENGINE)
    await until_started(mesh, "d1")
    assert await show_component(mesh) == ("starting", None, None)
    await mesh.call("POST", "/api/v1/workers/w1/drain", headers=OWNER)
    paused = {"code": "paused", "detail": "every worker that has its image is draining"}
    assert await show_component(mesh) == ("waiting", paused, paused)
    await connect(mesh, engine=OTHER)
    gone = {"code": "no_worker_for", "detail": "its image, which only the engine that built it has"}
    assert await show_component(mesh) == ("waiting", gone, gone)


GONE = "echo: no_worker_for its image, which only the engine that built it has"
MISSING = "digits: model_missing data/weights/model.joblib"


async def lose_engine(mesh: Mesh, deployment: str, start_timeout: str) -> None:
    """Of a deployment that is starting on the only engine that has its image."""
    await connect(mesh)
    catalog = built_catalog()
    catalog["components"]["echo"]["spec"]["startTimeout"] = start_timeout
    await mesh.deploy(deployment, catalog)
    await mesh.report(await claim_build(mesh), "succeeded", image=IMAGE, engine=ENGINE)
    await until_started(mesh, deployment)
    await connect(mesh, engine=OTHER)


async def test_a_deployment_that_waits_for_the_engine_of_its_image_says_so(mesh: Mesh) -> None:
    await lose_engine(mesh, "d1", "120s")
    await until_step(mesh, "d1", "start", f"running {MISSING}; {GONE}")
    await connect(mesh)
    await start(mesh, "d1")


async def test_a_deployment_whose_image_stays_lost_fails_in_its_time_and_the_next_builds_again(mesh: Mesh) -> None:
    await lose_engine(mesh, "d1", "1s")
    await mesh.until(lambda: mesh.is_reported("d1", "failed"))
    assert steps(mesh, "d1")["start"] == f"failed {MISSING}; {GONE}"
    (error,) = mesh.services.reports["d1"]["errors"]
    assert error["message"] == (
        "component echo did not start: the engine that built its image has no worker any more; "
        "deploy again to build it elsewhere: mlmesh app sync leaf"
    )
    await mesh.deploy("d2", built_catalog())
    assert (await mesh.claim("w1", kinds=KINDS, engine=OTHER))["kind"] == "build"


async def show_component(mesh: Mesh) -> tuple[Any, Any, Any]:
    """Its status and reason, and the reason of its only instance."""
    _, component, _ = await mesh.call("GET", "/api/v1/apps/leaf/components/echo", headers=OWNER)
    (instance,) = component["instances"]
    return component["status"], component["reason"], instance["reason"]


async def test_nothing_is_built_when_nothing_has_changed(mesh: Mesh) -> None:
    await deploy(mesh, "d1")
    await mesh.deploy("d2", built_catalog())
    assert (await start(mesh, "d2"))["spec"]["image"] == IMAGE
    await mesh.deploy("d3", built_catalog("2e" * 20))
    assert (await claim_build(mesh))["spec"]["key"]


async def test_an_image_whose_engine_is_gone_is_built_again(mesh: Mesh) -> None:
    await deploy(mesh, "d1")
    await connect(mesh, engine=OTHER)
    await mesh.deploy("d2", built_catalog())
    assert (await mesh.claim("w1", kinds=KINDS, engine=OTHER))["kind"] == "build"


async def test_an_image_that_is_in_a_registry_runs_anywhere(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1", built_catalog())
    exact = "r.example/m/leaf/key@sha256:" + "ab" * 32
    await mesh.report(await claim_build(mesh), "succeeded", image=exact)
    assert (await mesh.claim("w2", kind="instance"))["spec"]["image"] == exact
    await connect(mesh, engine=OTHER)
    await mesh.deploy("d2", built_catalog())
    await until_started(mesh, "d2")


async def test_a_newer_deployment_cancels_the_build_that_only_the_older_wants(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1", built_catalog())
    lease = await claim_build(mesh)
    await mesh.deploy("d2", built_catalog("2e" * 20))

    async def orders() -> Any:
        return (await connect(mesh, holding(lease)))["stop"]

    assert await mesh.until(orders) == [{"task": lease["task"], "token": lease["token"]}]
    assert (await claim_build(mesh))["spec"]["key"] != lease["spec"]["key"]


async def test_a_build_that_fails_fails_the_deployment_with_its_last_lines(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1", built_catalog())
    lease = await claim_build(mesh)
    reason = {"code": "build", "detail": "ERROR: No matching distribution"}
    await mesh.report(lease, "failed", reason=reason, log_tail=["one", "two"])
    await mesh.until(lambda: mesh.is_reported("d1", "failed"))
    (error,) = mesh.services.reports["d1"]["errors"]
    assert error["message"] == f"build of {lease['spec']['title']}: ERROR: No matching distribution"
    assert (error["reason"], error["log_tail"]) == ("build", ["one", "two"])


async def test_a_worker_of_the_release_before_is_never_given_a_build(mesh: Mesh) -> None:
    await mesh.send_heartbeat(kinds=KINDS[:3])
    await mesh.deploy("d1", built_catalog())

    async def is_waiting() -> bool:
        return steps(mesh, "d1").get("images", "").endswith(": waits for a worker")

    await mesh.until(is_waiting)
    assert await mesh.claim_once(kinds=KINDS[:3]) is None


async def test_the_builds_of_a_deployment_are_listed_with_their_logs(mesh: Mesh) -> None:
    async def list_builds(app: str, deployment: str) -> list[str]:
        path = f"/api/v1/apps/{app}/deployments/{deployment}/builds"
        status, page, _ = await mesh.call("GET", path, headers=OWNER)
        assert status == 200
        return [build["image"] for build in page["items"]]

    lease = await deploy(mesh, "d1")
    assert lease["spec"]["component"] in await list_builds("leaf", "d1")
    await mesh.deploy("d2", built_catalog())
    await start(mesh, "d2")
    assert await list_builds("leaf", "d2") == await list_builds("leaf", "d1")
    assert await list_builds("leaf", "d9") == []
    path = "/api/v1/apps/leaf/deployments/d1/builds/nothing/log"
    status, problem, _ = await mesh.call("GET", path, headers=OWNER)
    known = ", ".join(await list_builds("leaf", "d1"))
    assert (status, problem["detail"]) == (
        404, f"deployment d1 has no build of nothing; its builds are {known}",
    )  # fmt: skip


async def test_an_engine_keeps_what_is_live_what_was_before_and_what_is_being_built(mesh: Mesh) -> None:
    images = {tree: "sha256:" + tree * 32 for tree in ("1a", "2b", "3c")}
    keys, instances = {}, []
    for number, (tree, image) in enumerate(images.items()):
        await connect(mesh)
        await mesh.deploy(f"d{number}", built_catalog(tree * 20))
        lease = await claim_build(mesh)
        keys[tree] = lease["spec"]["key"]
        await mesh.report(lease, "succeeded", image=image, engine=ENGINE)
        instances.append(await start(mesh, f"d{number}"))
    await mesh.deploy("d9", built_catalog("4d" * 20))
    building = (await claim_build(mesh))["spec"]["key"]

    async def list_removable(*, is_full: bool) -> list[str]:
        known = [{"app": "leaf", "key": keys[tree], "image": image} for tree, image in images.items()]
        fresh = {"app": "leaf", "key": building, "image": "sha256:fresh"}
        body = {"engine": ENGINE, "is_full": is_full, "images": [*known, fresh]}
        response: dict[str, list[str]] = await mesh.peer.post("/internal/images", body)
        return response["images"]

    assert await list_removable(is_full=False) == []
    assert await list_removable(is_full=True) == [], "the instance of the first deployment still runs"
    await mesh.report(instances[0], "stopped")
    assert await list_removable(is_full=True) == [images["1a"]]
    await mesh.deploy("d10", built_catalog("1a" * 20))
    assert (await claim_build(mesh))["spec"]["key"] == keys["1a"], "it is built again"


async def test_a_worker_builds_one_image_of_an_app_at_a_time(mesh: Mesh) -> None:
    """Else builds without an end would take both its places, and no other app could deploy."""
    await connect(mesh)
    await mesh.deploy("d1", two_builds_catalog())
    first = await claim_build(mesh)
    assert await mesh.claim_once(kinds=KINDS, engine=ENGINE) is None
    await mesh.deploy("d2", built_catalog(), app="oak")
    assert (await claim_build(mesh))["app"] == "oak"
    await mesh.report(first, "succeeded", image=IMAGE, engine=ENGINE)
    second = await claim_build(mesh)
    assert (second["app"], second["spec"]["key"] != first["spec"]["key"]) == ("leaf", True)


async def test_an_image_that_its_engine_has_lost_is_built_by_the_next_deployment(mesh: Mesh) -> None:
    instance = await deploy(mesh, "d1")
    await mesh.report(instance, "failed", reason={"code": "image", "detail": "the engine does not have the image"})
    await mesh.deploy("d2", built_catalog())
    assert (await claim_kind(mesh, "build"))["spec"]["key"]


async def promote(mesh: Mesh, deployment: str, of: str = "d1") -> None:
    await mesh.deploy(deployment, built_catalog(), app="oak", rollback_to=of, promoted_from="leaf")


async def test_a_promotion_runs_the_image_that_was_built_for_its_source(mesh: Mesh) -> None:
    first = await deploy(mesh, "d1")
    await promote(mesh, "e1")
    instance = await claim_kind(mesh, "instance")
    assert (instance["app"], instance["spec"]["image"]) == ("oak", IMAGE)
    await connect(mesh, *map(healthy_status, (first, instance)))
    await mesh.until_live("e1")
    assert steps(mesh, "e1")["images"].endswith(f" is sha256:{'1a' * 6}")


async def test_a_promotion_runs_the_image_of_its_source_rather_than_one_of_its_own(mesh: Mesh) -> None:
    earlier = "sha256:" + "9c" * 32
    await connect(mesh)
    await mesh.deploy("e0", built_catalog(), app="oak")
    await mesh.report(await claim_build(mesh), "succeeded", image=earlier, engine=ENGINE)
    assert (await start(mesh, "e0"))["spec"]["image"] == earlier
    await deploy(mesh, "d1")
    await promote(mesh, "e1")
    assert (await claim_kind(mesh, "instance"))["spec"]["image"] == IMAGE


async def test_a_promoted_image_is_kept_when_its_source_runs_others(mesh: Mesh) -> None:
    await connect(mesh)
    await mesh.deploy("d1", built_catalog())
    build = await claim_build(mesh)
    key = build["spec"]["key"]
    await mesh.report(build, "succeeded", image=IMAGE, engine=ENGINE)
    first = await start(mesh, "d1")
    await promote(mesh, "e1")
    promoted = await claim_kind(mesh, "instance")
    await connect(mesh, *map(healthy_status, (first, promoted)))
    await mesh.until_live("e1")
    await mesh.peer.delete("/internal/apps/leaf")
    body = {"engine": ENGINE, "is_full": True, "images": [{"app": "leaf", "key": key, "image": IMAGE}]}
    assert (await mesh.peer.post("/internal/images", body))["images"] == []


async def test_a_promotion_builds_an_image_that_the_engine_has_lost(mesh: Mesh) -> None:
    await deploy(mesh, "d1")
    await promote(mesh, "e1")
    instance = await claim_kind(mesh, "instance")
    await mesh.report(instance, "failed", reason={"code": "image", "detail": "the engine does not have the image"})
    await promote(mesh, "e2")
    build = await claim_kind(mesh, "build")
    assert build["app"] == "oak"


async def claim_kind(mesh: Mesh, kind: str) -> dict[str, Any]:
    return await mesh.claim("w1", kind=kind, kinds=KINDS, engine=ENGINE)
