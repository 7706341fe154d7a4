"""PostgreSQL: one server, a fresh database for each test."""

import signal
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.servers.places import LOOPBACK, free_port
from tests.servers.process import Process, answers, folder_of, unprivileged
from tests.servers.provision import Missing, apt, program

DEBIAN = "/usr/lib/postgresql/*/bin"
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


class Postgres:
    """`url` names its maintenance database; `process` is None when somebody else runs it."""

    def __init__(self, url: str, process: Process | None = None) -> None:
        self.url = url
        self.process = process

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The address of a new empty database, gone afterwards."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        await self._execute(f"create database {name} template template0")
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            await self._execute(f"drop database {name} with (force)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url.replace("+asyncpg", "", 1))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def start(self) -> None:
        """Again, after `stop` or `kill`: same address, same data."""
        self._own().start(self._accepts)

    def stop(self) -> None:
        self._own().stop()

    def kill(self) -> None:
        self._own().kill()

    def _own(self) -> Process:
        assert self.process, "a server whose address was given is not ours to stop"
        return self.process

    def _accepts(self) -> bool:
        port = urlsplit(self.url).port
        return port is not None and answers(port)


def start(parent: Path) -> Postgres:
    initdb = program("initdb", DEBIAN) or _installed()
    bin_folder = initdb.resolve().parent
    user = unprivileged("postgres")
    folder = folder_of(user, parent, "postgres")
    data, port = folder / "data", free_port()
    _initialise(bin_folder / "initdb", data, user)
    settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
    command = [
        str(bin_folder / "postgres"),
        "-D",
        str(data),
        "-h",
        LOOPBACK,
        "-p",
        str(port),
        "-k",
        str(folder),
        *settings,
    ]
    process = Process("postgres", command, folder, {"LC_ALL": "C.UTF-8"}, user, signal.SIGINT)
    server = Postgres(f"postgresql+asyncpg://postgres@{LOOPBACK}:{port}/postgres", process)
    server.start()
    return server


def _installed() -> Path:
    apt("postgresql")
    found = program("initdb", DEBIAN)
    if found is None:
        raise Missing("postgresql was installed, but has no initdb")
    return found


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
