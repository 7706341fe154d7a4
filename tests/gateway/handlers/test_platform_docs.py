"""The platform's document has what each service serves now, and survives the absence of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from libs.common.errors import Unavailable
from libs.common.http.api_document import list_operations
from libs.common.settings import Settings
from services.gateway.handlers.platform_docs import MAX_AGE_S, PlatformDocs
from services.gateway.internal_client import InternalServices
from services.gateway.proxy.connection_pool import ConnectionPool
from tests.gateway.fake_clock import FakeClock
from tests.gateway.fake_server import FakeServer, ReceivedRequest, Reply, serve

DELETED = {"operationId": "delete_it", "tags": ["x"], "summary": "Delete it", "responses": {"204": {"description": ""}}}


@dataclass
class DescribedService(FakeServer):
    paths: list[str] = field(default_factory=list)
    status: int = 200

    async def build_reply(self, request: ReceivedRequest) -> Reply:
        assert request.target == "/internal/openapi.json"
        paths = {path: {"delete": DELETED} for path in self.paths}
        return Reply(self.status, {"paths": paths, "components": {"schemas": {}}})


@asynccontextmanager
async def describe(clock: FakeClock, **services: DescribedService) -> AsyncIterator[PlatformDocs]:
    async with serve(services["registry"]), serve(services["scheduler"]), serve(services["databox"]):
        urls: dict[str, Any] = {f"{name}_url": service.url for name, service in services.items()}
        settings, pool = Settings.from_values(internal_token="t", **urls), ConnectionPool()
        yield PlatformDocs(InternalServices(pool, settings), "http://mesh.example", clock)
        pool.close()


def deleted(document: Any) -> set[str]:
    return {path for method, path, _ in list_operations(document) if method == "delete"}


@pytest.fixture
def services() -> dict[str, DescribedService]:
    return {
        "registry": DescribedService(paths=["/api/v1/apps/{ns}", "/api/v1/apps/{ns}/runs", "/internal/access"]),
        "scheduler": DescribedService(
            paths=["/internal/apps/{ns}/runs/{run_id}", "/internal/apps/{ns}", "/api/v1/tokens"]
        ),
        "databox": DescribedService(paths=["/internal/apps/{ns}/users/{user}/files/{box}/{path}", "/links/{token}"]),
    }


PUBLIC = {"/api/v1/apps/{ns}", "/{ns}/runs/{run_id}", "/{ns}/files/{box}/{path}", "/links/{token}"}


async def test_it_has_the_routes_that_are_forwarded_to_each_service(
    clock: FakeClock, services: dict[str, DescribedService]
) -> None:
    async with describe(clock, **services) as docs:
        document = await docs.build_document()
    assert deleted(document) == PUBLIC
    names = [parameter["name"] for parameter in document["paths"]["/{ns}/files/{box}/{path}"]["delete"]["parameters"]]
    assert names == ["ns", "box", "path"]
    assert document["paths"]["/api/v1/apps/{ns}"]["delete"]["security"] == [{"token": []}]
    assert document["paths"]["/links/{token}"]["delete"]["security"] == []


async def test_a_new_release_of_a_service_is_described_after_a_minute(
    clock: FakeClock, services: dict[str, DescribedService]
) -> None:
    async with describe(clock, **services) as docs:
        assert await docs.build_document() is await docs.build_document()
        services["registry"].paths.append("/api/v1/tokens/{token}")
        assert deleted(await docs.build_document()) == PUBLIC
        clock.now += MAX_AGE_S
        assert deleted(await docs.build_document()) == PUBLIC | {"/api/v1/tokens/{token}"}


async def test_a_service_that_is_away_stays_described(clock: FakeClock, services: dict[str, DescribedService]) -> None:
    async with describe(clock, **services) as docs:
        await docs.build_document()
        services["scheduler"].status = 503
        clock.now += MAX_AGE_S
        assert deleted(await docs.build_document()) == PUBLIC


async def test_without_a_first_description_it_is_unavailable(
    clock: FakeClock, services: dict[str, DescribedService]
) -> None:
    services["databox"].status = 503
    async with describe(clock, **services) as docs:
        with pytest.raises(Unavailable):
            await docs.build_document()


async def test_a_service_of_an_older_release_describes_nothing(
    clock: FakeClock, services: dict[str, DescribedService]
) -> None:
    services["databox"].status = 404
    async with describe(clock, **services) as docs:
        assert deleted(await docs.build_document()) == {"/api/v1/apps/{ns}", "/{ns}/runs/{run_id}"}
