from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gateway.fake_clock import FakeClock

if TYPE_CHECKING:
    from tests.gateway.mesh import Mesh


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def mesh(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    """A ready gateway with the app `demo`; fails when a test leaves tasks behind."""
    from tests.gateway.mesh import run_services, wait_until, wait_until_ready

    async with run_services(tmp_path) as mesh:
        if mark := request.node.get_closest_marker("settings"):
            mesh.settings = mesh.settings.with_values(**mark.kwargs)
        async with mesh.gateway():
            await wait_until_ready(mesh)
            tasks_at_start = len(asyncio.all_tasks())
            yield mesh
            await wait_until(lambda: len(asyncio.all_tasks()) <= tasks_at_start)
