"""Forges that do not answer, or answer badly, are told of their own apps later, and delay nobody else's."""

from __future__ import annotations

import pytest

from libs.common.http import public_client
from tests.registry.conftest import Registry, StartRegistry
from tests.registry.fake_forge import run_forge
from tests.registry.working_copy import WorkingCopy

SILENT_APPS = [f"silent-{number}" for number in range(12)]


async def connect(registry: Registry, url: str, app: str) -> None:
    applied = await registry.call(
        "POST",
        "/api/v1/apply",
        f"apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {{name: {app}}}\nspec: {{title: Leaf scan}}\n---\n"
        f"apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {{name: login, namespace: {app}}}\nspec: {{keys: []}}\n---\n"
        f"apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {{name: {app}}}\n"
        f"spec: {{url: {url}, forge: gitea, credentials: login}}\n",
    )
    assert applied.status == 200, applied.body


async def set_token(registry: Registry, app: str) -> None:
    answer = await registry.call("PUT", f"/api/v1/apps/{app}/secrets/login", {"data": {"token": "the-token"}})
    assert answer.status == 204


async def test_forges_that_never_answer_delay_no_other_apps_statuses(
    start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_client, "TIMEOUT_S", 3600.0)
    async with run_forge(working_copy.folder) as forge, start_registry(sqlite_url) as registry:
        forge.silent_apps = set(SILENT_APPS)
        for app in (*SILENT_APPS, "good"):
            await connect(registry, forge.repository, app)
        for app in SILENT_APPS:
            await set_token(registry, app)
            await forge.wait_for_app(app)
        await set_token(registry, "good")
        status = await forge.wait_for_app("good")
        assert status.body["state"] == "pending"
        assert forge.count_open_requests() == len(SILENT_APPS)
