"""PostgreSQL: one server, a fresh database for each test."""

import asyncio
import os
import secrets
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.servers.container import Container, need_engine
from tests.servers.places import LOOPBACK, free_port
from tests.servers.process import Process, answers, folder_of, unprivileged
from tests.servers.provision import Missing, apt, program
from tests.servers.server import Server

DEBIAN = "/usr/lib/postgresql/*/bin"
IMAGE = "postgres:17"
SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}
"""What is committed outlives the server, though not the machine: enough for tests that kill the server."""
CONNECT_TIMEOUT_S = 5.0


class Postgres(Server):
    """`url` names its maintenance database."""

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The address of a new empty database, gone afterwards."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        await self._execute(f"create database {name} template template0")
        try:
            yield self._address(name)
        finally:
            await self._execute(f"drop database {name} with (force)")

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """The same for a test without an event loop."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        _apart(self._execute(f"create database {name} template template0"))
        try:
            yield self._address(name)
        finally:
            _apart(self._execute(f"drop database {name} with (force)"))

    def answers(self) -> bool:
        if not answers(urlsplit(self.url).port or 0):
            return False
        try:
            _apart(self._execute("select 1"))
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        return True

    def _address(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url.replace("+asyncpg", "", 1), timeout=CONNECT_TIMEOUT_S)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _apart(work: Coroutine[object, object, None]) -> None:
    """Runs it in a thread: the caller may be inside an event loop."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def start(parent: Path) -> Postgres:
    try:
        server = _process(_initdb(), parent)
    except Missing as missing:
        need_engine(missing)
        return from_image()
    server.start()
    return server


def _process(initdb: Path, parent: Path) -> Postgres:
    user = unprivileged("postgres")
    folder = folder_of(user, parent, "postgres")
    data, port = folder / "data", free_port()
    _initialise(initdb, data, user)
    where = ["-D", str(data), "-h", LOOPBACK, "-p", str(port), "-k", str(folder)]
    settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
    command = [str(initdb.with_name("postgres")), *where, *settings]
    process = Process("postgres", command, folder, {"LC_ALL": "C.UTF-8"}, user, signal.SIGINT)
    return Postgres(f"postgresql+asyncpg://postgres@{LOOPBACK}:{port}/postgres", process)


def from_image() -> Postgres:
    port, password = free_port(), secrets.token_hex(8)
    environ = {"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "mlmesh"}
    container = Container(os.environ.get("POSTGRES_IMAGE", IMAGE), {port: 5432}, environ)
    server = Postgres(f"postgresql+asyncpg://postgres:{password}@{LOOPBACK}:{port}/postgres", container)
    server.start()
    return server


def _initdb() -> Path:
    if program("initdb", DEBIAN) is None:
        apt("postgresql")
    found = program("initdb", DEBIAN)
    if found is None:
        raise Missing("postgresql was installed, but has no initdb")
    return found.resolve()


def _initialise(initdb: Path, data: Path, user: str | None) -> None:
    command = [
        str(initdb),
        "-D",
        str(data),
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=data.parent, user=user, group=user, timeout=60)
