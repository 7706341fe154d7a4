"""CSRF: cross-site requests with a saved Basic password are refused."""

from __future__ import annotations

import pytest

from tests.gateway.mesh import ALICE, Mesh, bearer_auth

HERE = "http://mesh.example"
FOREIGN = {"Origin": "https://evil.example"}
CROSS = {"Sec-Fetch-Site": "cross-site"}
KEY = {"X-API-Key": "key-of-bob"}
PREDICT, RUNS, FILE = "/demo/digits/predict", "/demo/train/runs", "/demo/files/data/g/f"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", PREDICT, ALICE | FOREIGN, 403),
        ("POST", PREDICT, ALICE | CROSS, 403),
        ("POST", PREDICT, ALICE | {"Origin": "null"}, 403),
        ("POST", PREDICT, ALICE | {"Origin": "http://[bad"}, 403),
        ("POST", PREDICT, ALICE | {"Origin": "http://mesh.example.evil.example"}, 403),
        ("POST", PREDICT, ALICE | FOREIGN | {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", RUNS, ALICE | FOREIGN | {"Content-Type": "text/plain"}, 403),
        ("POST", "/demo/runs/r_1/cancel", ALICE | CROSS, 403),
        ("DELETE", "/demo/runs/r_1", ALICE | FOREIGN, 403),
        ("PUT", FILE, ALICE | FOREIGN, 403),
        ("DELETE", FILE, ALICE | CROSS, 403),
        ("POST", "/demo/v2/models/classifier/infer", ALICE | CROSS, 403),
        ("GET", FILE, ALICE | FOREIGN, 200),
        ("POST", PREDICT, ALICE, 200),
        ("POST", PREDICT, ALICE | {"Origin": HERE}, 200),
        ("POST", PREDICT, ALICE | {"Origin": "https://mesh.example"}, 200),
        ("POST", PREDICT, ALICE | {"Sec-Fetch-Site": "same-origin"}, 200),
        ("POST", PREDICT, ALICE | {"Sec-Fetch-Site": "none"}, 200),
        ("POST", PREDICT, ALICE | {"Host": "other.example:81", "Origin": "http://other.example:81"}, 200),
        ("POST", PREDICT, ALICE | {"X-Forwarded-Host": "evil.example"} | FOREIGN, 403),
        ("POST", "/demo/keyed/predict", KEY | FOREIGN, 200),
        ("POST", PREDICT, bearer_auth("owner") | CROSS, 200),
        ("POST", "/demo/open/predict", FOREIGN, 200),
    ],
)
async def test_only_this_sites_pages_change_something_with_a_remembered_password(
    mesh: Mesh, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    response_status, _, answer = await mesh.call(method, path, headers=headers)
    assert response_status == status
    if status == 403:
        assert answer["detail"].startswith("a page of another site cannot use the password that the browser has saved")
        targets = {request.target for part in (mesh.component, mesh.databox) for request in part.requests}
        assert targets <= {"/healthz"}
