"""The header that marks an owner's call: set by the gateway alone, forged ones are dropped."""

from __future__ import annotations

import time
from typing import Any

import pytest

from libs.common.signed_tokens import Grant, GrantSigner
from tests.gateway.mesh import ALICE, INTERNAL, Mesh, app_document, bearer_auth, publish_app

FORGED = {"X-Mlmesh-Owner": "1"}
BOB = {"X-API-Key": "key-of-bob"}


def worker_grant(user: str, call: str = "digits") -> dict[str, str]:
    """The grant of a worker for this user's prediction; valid for a day, since it is created at import."""
    return {"X-Mlmesh-Grant": GrantSigner(INTERNAL).sign(Grant("demo", user, (), time.time() + 86_400, call))}


async def says_owner(mesh: Mesh, path: str, headers: dict[str, str]) -> bool:
    assert (await mesh.call("POST", path, data=b"{}", headers=headers))[0] == 200
    return "x-mlmesh-owner" in mesh.component.requests[-1].headers


@pytest.mark.parametrize("forged", [{}, FORGED])
@pytest.mark.parametrize(
    ("path", "headers", "owner"),
    [
        ("/demo/digits/predict", bearer_auth("owner"), True),
        ("/demo/keyed/predict", bearer_auth("owner"), True),
        ("/demo/v2/models/digits/infer", bearer_auth("owner"), True),
        ("/demo/digits/predict", ALICE, False),
        ("/demo/keyed/predict", BOB, False),
        ("/demo/open/predict", {}, False),
        ("/demo/v2/models/digits/infer", ALICE, False),
        ("/demo/digits/predict", worker_grant("alice"), True),
    ],
)
async def test_a_function_is_told_of_owners_and_workers_alone(
    mesh: Mesh, path: str, headers: dict[str, str], owner: bool, forged: dict[str, str]
) -> None:
    assert await says_owner(mesh, path, {**headers, **forged}) is owner


@pytest.mark.parametrize("forged", [{}, FORGED])
@pytest.mark.parametrize(("headers", "owner"), [(bearer_auth("owner"), True), (ALICE, False)])
async def test_so_is_a_web_application(
    mesh: Mesh, headers: dict[str, str], owner: bool, forged: dict[str, str]
) -> None:
    app: dict[str, Any] = app_document(mesh.component.port)
    app["components"]["classifier"]["own_routes"] = True
    await publish_app(mesh, app)
    assert await says_owner(mesh, "/demo/digits/anything", {**headers, **forged}) is owner
