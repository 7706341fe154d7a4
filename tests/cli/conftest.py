from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.fake_mesh import FakeMesh


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str


Run = Callable[..., CommandResult]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a stopped mesh."""
    from tests.cli.damaged_data_dir import create_data_dir

    return create_data_dir(tmp_path / "data")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without configuration, and no terminal."""
    for name in ("MLMESH_URL", "MLMESH_TOKEN", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run `mlmesh` with these arguments in this process; resets logging afterwards."""
    import structlog

    from services.__main__ import check_builds, check_manifests, load_service_factory, load_teardown, migrate_database
    from services.cli.command import main
    from services.cli.service_factories import ServiceFactories

    def command(*arguments: str) -> CommandResult:
        code = main(
            ServiceFactories(load_service_factory, check_manifests, check_builds, migrate_database, load_teardown),
            list(arguments),
        )
        output = capsys.readouterr()
        return CommandResult(code, output.out, output.err)

    yield command
    structlog.reset_defaults()


@pytest.fixture
def mesh(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMesh]:
    from tests.cli.fake_mesh import fake_mesh

    with fake_mesh() as fake:
        monkeypatch.setenv("MLMESH_URL", fake.url)
        monkeypatch.setenv("MLMESH_TOKEN", "secret-token")
        yield fake
