from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.cli import service_process
from services.cli.cli_errors import NotReachable
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLMESH_INTERNAL_TOKEN", "MLMESH_SECRET_KEY", "MLMESH_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLMESH_DATA", str(tmp_path))


@pytest.mark.parametrize("name", ["gateway", "registry", "scheduler", "databox", "worker"])
def test_a_service_refuses_to_start_without_the_internal_token(run: Run, name: str) -> None:
    done = run(name)
    assert (done.code, done.out) == (2, "")
    assert done.err == "mlmesh: MLMESH_INTERNAL_TOKEN is not set; it has no default outside `mlmesh up`\n"


def test_registry_needs_the_key_of_its_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLMESH_INTERNAL_TOKEN", "x")
    assert run("registry").err.startswith("mlmesh: MLMESH_SECRET_KEY is not set")


def test_a_bad_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLMESH_WORKER_SLOTS", "many")
    done = run("worker")
    assert done.code == 2
    assert done.err.startswith("mlmesh: MLMESH_WORKER_SLOTS: ")


async def test_a_database_that_stays_away_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_process, "DATABASE_RETRY_S", 0.01)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        with pytest.raises(NotReachable, match=rf"postgresql\+asyncpg://a:\*\*\*@127.0.0.1:{port}/x does not answer"):
            await service_process.wait_for_database(f"postgresql+asyncpg://a:b@127.0.0.1:{port}/x", 0.1)
