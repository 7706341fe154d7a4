"""All servers of one run: each started when first asked for, all stopped together, what could not be had remembered."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self, TypeVar

from tests.servers import docker_registry, engine, images, postgres, rabbitmq, s3
from tests.servers.docker_registry import DockerRegistry
from tests.servers.engine import Engine
from tests.servers.leftovers import start_guard, sweep
from tests.servers.places import new_run_folder
from tests.servers.postgres import Postgres
from tests.servers.process import StartFailed
from tests.servers.provision import Missing, tell
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3

Server = TypeVar("Server")


class Fleet:
    """`missing` tells for each part that could not be had why."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._stops: list[Callable[[], None]] = []
        self._made_folder: Path | None = None
        self._folder_lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._stops:
            self._stops.pop()()

    @cached_property
    def postgres(self) -> Postgres:
        given = os.environ.get("MLMESH_TEST_POSTGRES")
        if given:
            return Postgres(given)
        server = self._have("PostgreSQL", lambda: postgres.start(self._folder))
        self._stops.append(server.close)
        return server

    @cached_property
    def rabbitmq(self) -> RabbitMQ:
        given = os.environ.get("MLMESH_TEST_RABBITMQ")
        if given:
            return RabbitMQ(given, os.environ.get("MLMESH_TEST_RABBITMQ_MANAGEMENT"))
        server = self._have("RabbitMQ", lambda: rabbitmq.start(self._folder))
        self._stops.append(server.close)
        return server

    @cached_property
    def own_rabbitmq(self) -> RabbitMQ:
        """A private node even when an address was given: for tests that stop it."""
        if "MLMESH_TEST_RABBITMQ" not in os.environ:
            return self.rabbitmq
        server = self._have("RabbitMQ", lambda: rabbitmq.start(self._folder))
        self._stops.append(server.close)
        return server

    @cached_property
    def own_postgres(self) -> Postgres:
        """A private server even when an address was given: for tests that stop it."""
        if "MLMESH_TEST_POSTGRES" not in os.environ:
            return self.postgres
        server = self._have("PostgreSQL", lambda: postgres.start(self._folder))
        self._stops.append(server.close)
        return server

    @cached_property
    def minio(self) -> S3:
        return self._s3("MLMESH_TEST_S3", "MinIO", s3.start_minio)

    @cached_property
    def own_minio(self) -> S3:
        """A private server even when an address was given: for tests that stop it."""
        if "MLMESH_TEST_S3" not in os.environ:
            return self.minio
        server = self._have("MinIO", lambda: s3.start_minio(self._folder))
        self._stops.append(server.close)
        return server

    @cached_property
    def versitygw(self) -> S3:
        return self._s3("MLMESH_TEST_S3_SECOND", "versitygw", s3.start_versitygw)

    @cached_property
    def docker(self) -> Engine:
        given = os.environ.get("MLMESH_TEST_DOCKER")
        if given:
            return Engine(given)
        server = self._have("Docker Engine", lambda: engine.start(self._folder))
        self._stops.append(server.close)
        return server

    @cached_property
    def own_docker(self) -> Engine:
        """A second, private engine: for tests that stop it while others use the first."""
        server = self._have("second Docker Engine", lambda: engine.start_apart(self._folder))
        self._stops.append(server.close)
        return server

    @cached_property
    def docker_registry(self) -> DockerRegistry:
        server = self._have("docker-registry", lambda: docker_registry.start(self._folder))
        self._stops.append(server.close)
        return server

    @cached_property
    def python_image(self) -> str:
        return self._have(images.PYTHON_IMAGE, lambda: images.python_image(self.docker))

    @contextmanager
    def settings(self, *, own: bool = False) -> Iterator[dict[str, str]]:
        """A fresh database, virtual host and bucket, as a mesh is told of them; `own`: on servers that one may stop."""
        database = self.own_postgres if own else self.postgres
        broker = self.own_rabbitmq if own else self.rabbitmq
        files = self.own_minio if own else self.minio
        with database.new_database() as rows, broker.virtual_host() as bus, files.bucket() as store:
            yield {"DATABASE": rows, "BUS": bus, "STORE": store}

    def _s3(self, variable: str, name: str, start: Callable[[Path], S3]) -> S3:
        given = os.environ.get(variable)
        if given:
            return S3(given)
        server = self._have(name, lambda: start(self._folder))
        self._stops.append(server.close)
        return server

    @property
    def _folder(self) -> Path:
        """One for all servers, also when several start at the same time."""
        with self._folder_lock:
            if self._made_folder is None:
                sweep()
                start_guard()
                self._made_folder = folder = new_run_folder()
                self._stops.append(lambda: shutil.rmtree(folder, ignore_errors=True))
            return self._made_folder

    def _have(self, name: str, start: Callable[[], Server]) -> Server:
        """Tries once a run: a part that is missing stays missing."""
        if name in self.missing:
            raise Missing(self.missing[name])
        try:
            return start()
        except (Missing, StartFailed) as error:
            self.missing[name] = str(error)
            tell(f"{name} is not to be had: {error}")
            raise Missing(str(error)) from error
