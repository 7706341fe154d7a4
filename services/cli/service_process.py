"""One service as one process: `mlmesh gateway|registry|scheduler|databox|worker`, and `mlmesh migrate`."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import typer

from services.cli import render
from services.cli.cli_errors import Failure, NotReachable, WrongUsage
from services.cli.preflight import check_database, check_service
from services.cli.service_factories import Parts

if TYPE_CHECKING:
    from libs.common.db import Database
    from libs.common.settings import Settings

WITH_DATABASE = ("registry", "scheduler", "databox")
REQUIRED = {"registry": ("internal_token", "secret_key")}
SELDOM = (10_000, 20, 50)
"""When garbage is looked for."""
DATABASE_WAIT_S = 30.0
"""How long a service that starts waits for its database, and"""
DATABASE_LOOK_S = 1.0
"""how long until it asks again."""


def service(name: str) -> Callable[[typer.Context], None]:
    """The command that runs the service `name` until a signal."""

    def command(context: typer.Context) -> None:
        settings = configured(*REQUIRED.get(name, ("internal_token",)))
        in_loop(serve(name, settings, context.obj))

    command.__doc__ = f"Run the service {name}, from MLMESH_* in the environment."
    return command


def migrate(context: typer.Context) -> None:
    """Bring the database to the current schema."""
    parts: Parts = context.obj
    settings = configured()
    check_database(settings.database_url)
    asyncio.run(reachable(settings.database_url))
    parts.upgrade(settings.database_url)
    render.write("the database has the current schema")


def configured(*required: str, **over: Any) -> Settings:
    """The settings of this process, with its log set up. Raises WrongUsage, which names the variable."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # till `stopping`: an exception might be lost in an import
    from libs.common import log
    from libs.common.settings import BadSetting, load_settings, require_settings

    try:
        settings, warnings = load_settings(**over)
        require_settings(settings, *required)
    except BadSetting as error:
        raise WrongUsage(str(error)) from error
    log.set_up(settings.log_level, settings.log_format)
    for warning in warnings:
        log.get("settings").warning(warning)
    return settings


def in_loop(work: Coroutine[Any, Any, None]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def serve(name: str, settings: Settings, parts: Parts, given: socket.socket | None = None) -> None:
    """One service until a signal; on the socket that is `given`, for as long as its giver lives."""
    from libs.common import log
    from libs.common.http.server import bind, run_server, socket_url
    from libs.common.settings import DEFAULT_PORTS

    check_service(settings, name)
    if name in WITH_DATABASE:
        check_database(settings.database_url)
    bound = given or bind(settings.host, DEFAULT_PORTS[name] if settings.port is None else settings.port)
    if name in WITH_DATABASE:
        await usable(settings.database_url, DATABASE_WAIT_S)
    async with stopping() as stop, run_server(parts.create(name)(settings), bound) as ended:
        if given is not None:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)  # its end
        garbage_is_rare()
        log.get(name).info("listening", address=socket_url(bound))
        await first(stop, ended)
        if ended.is_set():
            raise Failure(f"{name} ended by itself; its log says why")


def garbage_is_rare() -> None:
    """What a service has at its start stays; a request leaves hardly any that is not freed at once.

    A look at everything takes as long as a hundred requests.
    """
    gc.freeze()
    gc.set_threshold(*SELDOM)


async def usable(database_url: str, within: float) -> None:
    """Waits so many seconds for a database that is away, as one is that restarts. Raises what `current` raises."""
    from libs.common import log

    clock = asyncio.get_running_loop().time
    end = clock() + (0.0 if database_url.startswith("sqlite") else within)
    while True:
        try:
            return await current(database_url)
        except NotReachable as error:
            if clock() >= end:
                raise
            log.get("database").warning("waits for the database", why=str(error))
            await asyncio.sleep(DATABASE_LOOK_S)


async def reachable(database_url: str) -> None:
    """Raises NotReachable."""
    with _told_where(database_url):
        async with _database(database_url) as database:
            await database.ready()


async def current(database_url: str) -> None:
    """Raises Failure unless the database has the schema that this release works on; NotReachable."""
    from libs.common.db import SCHEMA

    with _told_where(database_url):
        async with _database(database_url) as database:
            found = await database.schema_revision()
    if found is None:
        raise Failure("the database has no tables yet; make them with: mlmesh migrate")
    if found != SCHEMA:
        raise Failure(f"the database has schema {found}, this release works on {SCHEMA}; try: mlmesh migrate")


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Database]:
    from libs.common.db import Database

    database = Database(url, pool=1)
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def _told_where(database_url: str) -> Iterator[None]:
    from libs.common.errors import Unavailable

    try:
        yield
    except Unavailable as error:
        why = error.__cause__ or error
        raise NotReachable(f"MLMESH_DATABASE: {hidden(database_url)} does not answer: {why}".splitlines()[0]) from error


def hidden(url: str) -> str:
    """The address without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


@asynccontextmanager
async def stopping() -> AsyncIterator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second ends the process at once."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def stop(number: signal.Signals) -> None:
        if asked.is_set():
            os._exit(128 + number)
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        yield asked
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def first(*events: asyncio.Event) -> None:
    """Until one of `events` is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
