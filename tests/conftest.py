"""Addresses of the real servers. Each is started by the first test that asks for it; a pure test starts nothing.

Nor does it import what it does not use: fixtures import what takes long, here and in the services' own conftest.py.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from tests.event_loops import LoopFactory, loop_factories
from tests.servers.provision import Missing

if TYPE_CHECKING:
    from xdist.remote import Producer

    from tests.deploy.mesh import Mesh
    from tests.lines import Lines
    from tests.servers.engine import Engine
    from tests.servers.fleet import Fleet
    from tests.servers.postgres import Postgres
    from tests.servers.rabbitmq import RabbitMQ

FLEET: pytest.StashKey[Fleet] = pytest.StashKey()
SHARED = (("docker", "image"), ("rabbitmq",), ("minio",), ("versitygw",), ("postgres",))
"""Servers that all processes use, the image after its engine."""


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, _interrupted)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """With several processes (`-n`) the first one starts the servers for all of them."""
    if not session.config.getoption("numprocesses", None):
        return
    from tests.servers.exports import start_together

    os.environ.update(start_together(get_fleet(session.config), SHARED))


def get_fleet(config: pytest.Config) -> Fleet:
    if FLEET not in config.stash:
        from tests.servers.fleet import Fleet

        config.stash[FLEET] = Fleet()
    return config.stash[FLEET]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Hypothesis' plugin would import Hypothesis for its summary even where no test has used it."""
    if "hypothesis" not in sys.modules and not session.config.getoption("numprocesses", None):
        plugins = session.config.pluginmanager
        if plugin := plugins.get_plugin("hypothesispytest"):
            plugins.unregister(plugin)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the processes of `-n`: the longest lines first."""
    if hasattr(config, "workerinput"):
        from tests.lines import place

        items.sort(key=lambda item: place(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lines:
    from tests.lines import Lines

    return Lines(config, log)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    return loop_factories(item)


def pytest_unconfigure(config: pytest.Config) -> None:
    if FLEET in config.stash:
        with config.stash[FLEET]:
            pass


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    missing = config.stash[FLEET].missing if FLEET in config.stash else {}
    for name, reason in missing.items():
        terminalreporter.write_line(f"MISSING {name}: {reason}", red=True)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Iterator[None]:
    """A part that cannot be had here: its tests are left out, but never where everything must run."""
    try:
        return (yield)
    except Missing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing).splitlines()[0])


@pytest.fixture(scope="session")
def fleet(pytestconfig: pytest.Config) -> Fleet:
    return get_fleet(pytestconfig)


@pytest.fixture(scope="session")
def postgres_server(fleet: Fleet) -> Postgres:
    return fleet.postgres


@pytest.fixture
async def postgres_url(postgres_server: Postgres) -> AsyncIterator[str]:
    """A fresh, empty database."""
    async with postgres_server.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/mlmesh.db"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn, fresh and empty."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def rabbitmq_url(fleet: Fleet) -> Iterator[str]:
    """A fresh virtual host."""
    with fleet.rabbitmq.virtual_host() as url:
        yield url


@pytest.fixture
def rabbitmq_server(fleet: Fleet) -> Iterator[RabbitMQ]:
    """The server itself, to stop, kill or freeze; running again afterwards."""
    server = fleet.own_rabbitmq
    yield server
    server.resume()
    server.start()


@pytest.fixture
def minio_url(fleet: Fleet) -> Iterator[str]:
    """A fresh bucket."""
    with fleet.minio.bucket() as url:
        yield url


@pytest.fixture
def s3_second_url(fleet: Fleet) -> Iterator[str]:
    """A fresh bucket on another vendor's server."""
    with fleet.versitygw.bucket() as url:
        yield url


@pytest.fixture(scope="session")
def docker_engine(fleet: Fleet) -> Engine:
    return fleet.docker


@pytest.fixture(scope="session")
def docker_registry(fleet: Fleet) -> str:
    """`host:port` of an image registry, behind the password of `tests.servers.docker_registry`."""
    return fleet.docker_registry.url


@pytest.fixture(scope="session")
def docker_url(docker_engine: Engine) -> str:
    return docker_engine.url


@pytest.fixture(scope="session")
def python_image(fleet: Fleet) -> str:
    """The name of an image with CPython 3, pip and numpy."""
    return fleet.python_image


@pytest.fixture(scope="session")
def compose(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The whole mesh of docker-compose.yml: `url`, `admin_token`."""
    from tests.deploy.mesh import compose_mesh

    with compose_mesh(docker_engine, tmp_path_factory.mktemp("scratch")) as mesh:
        yield mesh


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Ends like Ctrl-C, so that the servers are stopped."""
    raise KeyboardInterrupt
