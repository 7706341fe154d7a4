"""The five services as five processes on servers that a test may stop, and a small application on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from deploy.demo.api import Api
from tests.e2e import processes
from tests.e2e.application import Application
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ


@pytest.fixture(scope="module")
def database_server(fleet: Fleet) -> Iterator[Postgres]:
    yield fleet.own_postgres
    fleet.own_postgres.start()


@pytest.fixture(scope="module")
def broker_server(fleet: Fleet) -> Iterator[RabbitMQ]:
    yield fleet.own_rabbitmq
    fleet.own_rabbitmq.start()


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, fleet: Fleet, database_server: Postgres, broker_server: RabbitMQ
) -> Iterator[Processes]:
    with running(tmp_path_factory.mktemp("mesh"), fleet, "process://") as mesh:
        yield mesh


@contextmanager
def running(folder: Path, fleet: Fleet, runtime: str, **settings: str) -> Iterator[Processes]:
    """The mesh on servers of our own, which are up again at the end."""
    with fleet.settings(own=True) as servers:
        host = "127.0.0.1" if runtime == "process://" else "0.0.0.0"  # noqa: S104
        try:
            with processes.running(Processes(folder, {**servers, "RUNTIME": runtime, **settings}, host)) as mesh:
                yield mesh
        finally:
            fleet.own_postgres.start()
            fleet.own_rabbitmq.start()


@pytest.fixture(scope="module")
def app(deployment: Processes) -> Iterator[Application]:
    with closing(Api(deployment.url, deployment.token)) as api:
        application = Application(deployment, api)
        application.start()
        yield application
