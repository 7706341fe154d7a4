"""The Open Inference Protocol at an app's address."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.component.serving import serving
from tests.gateway.mesh import ALICE, Mesh, app_document, publish_app
from tests.servers.provision import environment

CLIENT = Path(__file__).parents[2] / "component" / "programs" / "triton_client.py"


async def test_which_server_this_is_and_whether_it_is_there(mesh: Mesh) -> None:
    _, _, server = await mesh.call("GET", "/demo/v2")
    assert server == {"name": "mlmesh", "version": "2", "extensions": ["binary_tensor_data"]}
    for path in ("/demo/v2/health/live", "/demo/v2/health/ready"):
        assert (await mesh.call("GET", path))[0] == 200
    assert (await mesh.call("GET", "/demo/v2/models/digits/ready", headers=ALICE))[0] == 200


@pytest.mark.parametrize("name", ["digits", "classifier"])
async def test_a_model_is_a_published_component_by_its_name_or_its_paths(mesh: Mesh, name: str) -> None:
    await mesh.call("POST", f"/demo/v2/models/{name}/versions/1/infer", data=b"{}", headers=ALICE)
    await mesh.call("GET", f"/demo/v2/models/{name}", headers=ALICE)
    assert [request.target for request in mesh.component.requests] == [
        "/v2/models/classifier/infer",
        "/v2/models/classifier",
    ]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/demo/v2/models/digits", {}, 401),
        ("POST", "/demo/v2/models/digits/infer", {"X-API-Key": "key-of-bob"}, 401),
        ("POST", "/demo/v2/models/other/infer", ALICE, 404),
        ("GET", "/demo/v2/models/digits/infer", ALICE, 405),
        ("GET", "/demo/v2/models/digits/other", ALICE, 404),
        ("GET", "/demo/v2/models/train", ALICE, 404),
        ("GET", "/demo/v2/nothing", {}, 404),
        ("GET", "/nobody/v2", {}, 404),
    ],
)
async def test_a_refusal_is_an_error_of_the_protocol(
    mesh: Mesh, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    response_status, _, answer = await mesh.call(method, path, headers=headers)
    assert response_status == status
    assert isinstance(answer["error"], str)


async def test_a_model_without_an_instance_is_not_ready(mesh: Mesh) -> None:
    await publish_app(mesh, app_document())
    for path in ("/demo/v2/health/ready", "/demo/v2/models/classifier/ready"):
        status, _, answer = await mesh.call("GET", path, headers=ALICE)
        assert status == 503
        assert answer["reason"] == {"code": "image", "detail": "still pulled"}
        assert isinstance(answer["error"], str)


async def test_an_unmodified_client_is_served(mesh: Mesh) -> None:
    python = environment("tritonclient", "tritonclient[http]==2.73.0")
    async with serving("mean", component="mean", token="token") as served:
        app = app_document(served.port)
        app["components"] = {"mean": {**app["components"]["classifier"]}}
        app["components"]["mean"]["endpoints"][0]["token"] = "token"
        app["apis"] = [{**api, "name": "mean"} if api["target"] == "ml" else api for api in app["apis"]]
        await publish_app(mesh, app)
        address = mesh.url.removeprefix("http://") + "/demo"
        command = [str(python), str(CLIENT), address, f"Authorization={ALICE['Authorization']}"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
