"""A changed value of a Secret: what runs with the old one serves until what has the new one does."""

from __future__ import annotations

from typing import Any

from libs.common.messages import AccessChanged
from services.scheduler.components.desired_instances import desired_instances, select_outdated
from services.scheduler.model.task import Task
from tests.scheduler.conftest import Mesh, healthy_status
from tests.scheduler.manifests import MANIFESTS, catalog
from tests.scheduler.scenarios.test_worker_drain import list_endpoints

OF_ECHO = b'  mlService: {inference: "module:echo"}\n'
USING = MANIFESTS.replace(OF_ECHO, OF_ECHO + b"  envFrom: [{secretRef: {name: callers}}]\n")


def set_version(mesh: Mesh, version: int) -> None:
    mesh.services.access = {"leaf": {"users": {}, "keys": {}, "secrets": {"callers": version}}}
    mesh.services.version = version


async def go_live(mesh: Mesh) -> dict[str, Any]:
    set_version(mesh, 1)
    await mesh.deploy("d1", {**catalog(USING).to_json()})
    lease = await mesh.claim(kind="instance")
    await mesh.send_heartbeat(healthy_status(lease))
    await mesh.until_live("d1")
    return lease


async def change_value(mesh: Mesh) -> dict[str, Any]:
    """The lease of the instance with the new value."""
    set_version(mesh, 2)
    await mesh.bus.publish(AccessChanged(app="leaf"))
    return await mesh.claim(kind="instance")


async def test_the_old_instance_serves_until_the_new_one_does(mesh: Mesh) -> None:
    old = await go_live(mesh)
    new = await change_value(mesh)
    assert new["task"] != old["task"]
    orders = await mesh.send_heartbeat(healthy_status(old))
    assert (orders["stop"], await list_endpoints(mesh)) == ([], [old["task"]])
    await mesh.send_heartbeat(healthy_status(old), healthy_status(new))

    async def is_ordered() -> bool:
        orders = await mesh.send_heartbeat(healthy_status(old), healthy_status(new))
        return old["task"] in [order["task"] for order in orders["stop"]]

    await mesh.until(is_ordered)
    assert await list_endpoints(mesh) == [new["task"]]


async def test_a_value_with_which_nothing_starts_leaves_the_old_instance_serving(mesh: Mesh) -> None:
    old = await go_live(mesh)
    new = await change_value(mesh)
    await mesh.report(new, "failed", reason={"code": "error", "detail": "the login is wrong"})
    assert (await mesh.send_heartbeat(healthy_status(old)))["stop"] == []
    assert await list_endpoints(mesh) == [old["task"]]


def make_task(version: int, manifests: bytes = USING, **fields: Any) -> Task:
    """The healthy instance of `echo` with this version of the Secret."""
    (instance,) = (one for one in list_desired(version, manifests) if one.name == "echo")
    values = {"id": "i_1", "kind": "instance", "app": "leaf", "name": "echo", "replica": 0, "state": "claimed"}
    values |= {"fingerprint": instance.fingerprint, "resource_class": "cpu", "spec": instance.spec, "created_at": 1.0}
    return Task(**{**values, "phase": "healthy", **fields})


def list_desired(version: int, manifests: bytes = USING) -> Any:
    return desired_instances(catalog(manifests), "c1", {"callers": version}, {})


def test_only_what_differs_in_a_secret_alone_is_outdated() -> None:
    old = make_task(1)
    assert select_outdated(list_desired(2), [old]) == [old]
    assert select_outdated(list_desired(1), [old]) == [], "it is what is desired"
    assert select_outdated(list_desired(2, USING.replace(b"module:echo", b"module:other")), [old]) == []
    assert select_outdated(list_desired(2), [make_task(1, replica=1)]) == [], "no replica of this number is desired"
    assert select_outdated(list_desired(2), [old, make_task(2, id="i_2")]) == [], "its successor is healthy"
    assert select_outdated(list_desired(2), [make_task(1, phase="starting")]) == []
    assert select_outdated(list_desired(2), [make_task(1, stop_requested=True)]) == []
    assert select_outdated(list_desired(2), [make_task(1, resource_class="gpu")]) == []
