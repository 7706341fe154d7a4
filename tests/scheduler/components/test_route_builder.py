"""Builds what the route table says of an app."""

from __future__ import annotations

import pytest

from libs.common.protocol.access import AppAccess
from libs.common.protocol.route_table import AppRoutes
from services.scheduler.components.route_builder import build_app_routes
from tests.scheduler.conftest import OWNER, Mesh, healthy_status
from tests.scheduler.manifests import MANIFESTS, catalog
from tests.scheduler.scenarios.test_runs import go_live

NONE: list[str] = []


async def test_an_instance_that_refuses_is_told_to_owners_in_its_own_words_and_to_callers_in_ours(mesh: Mesh) -> None:
    lease = await go_live(mesh)
    await mesh.send_heartbeat(healthy_status(lease, state="unhealthy", detail="Every slot is held."))
    _, found, _ = await mesh.call("GET", "/api/v1/apps/leaf/components/echo", headers=OWNER)
    assert found["status"] == "unhealthy"
    assert found["reason"] == {"code": "unhealthy", "detail": "Every slot is held."}
    assert [one["detail"] for one in found["instances"]] == ["Every slot is held."]
    assert (await mesh.get_app_routes())["components"]["echo"]["reason"] == {
        "code": "unhealthy", "detail": "its instances fail their health checks; one that does not recover is replaced"
    }  # fmt: skip
    await mesh.send_heartbeat(healthy_status(lease))
    _, found, _ = await mesh.call("GET", "/api/v1/apps/leaf/components/echo", headers=OWNER)
    assert (found["status"], found["reason"]) == ("healthy", None)


@pytest.mark.parametrize(
    ("cors", "expected"),
    [
        (b"", NONE),
        (b", cors: {origins: [https://lab.example, 'http://localhost:3000']}", ["https://lab.example", "http://localhost:3000"]),
        (b", cors: {origins: ['*']}", ["*"]),
    ],
)  # fmt: skip
def test_an_api_tells_whose_pages_may_call(cors: bytes, expected: list[str]) -> None:
    text = MANIFESTS.replace(b"auth: {apiKey: {}}", b"auth: {apiKey: {}}" + cors)
    routes = build_app_routes(catalog(text), [], AppAccess(), AppRoutes()).to_json()
    found = {api["path"]: api["cors"] for api in routes["apis"]}
    assert found == {"echo": expected, "train": NONE}
