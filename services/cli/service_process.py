"""Runs one service as a process: `mlmesh gateway|registry|scheduler|databox|worker`; and `mlmesh migrate`."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import render
from services.cli.cli_errors import Failure, NotReachable, WrongUsage
from services.cli.preflight import check_database, check_service
from services.cli.process_memory import tune_memory
from services.cli.service_factories import ServiceFactories

if TYPE_CHECKING:
    from libs.common.db import Database
    from libs.common.settings import Settings

WITH_DATABASE = ("registry", "scheduler", "databox")
REQUIRED = {"registry": ("internal_token", "secret_key")}
DATABASE_WAIT_S = 30.0
"""How long a starting service waits for its database."""
DATABASE_RETRY_S = 1.0
"""Delay between two attempts."""


def service_command(name: str) -> Callable[[typer.Context], None]:
    """The command that runs the service `name` until a signal."""

    def command(context: typer.Context) -> None:
        settings = load_settings(*REQUIRED.get(name, ("internal_token",)))
        run_event_loop(serve_until_signal(name, settings, context.obj))

    command.__doc__ = f"Run the service {name}, from MLMESH_* in the environment."
    return command


registry, scheduler, databox = map(service_command, ("registry", "scheduler", "databox"))


def migrate(
    context: typer.Context,
    back: Annotated[
        bool, typer.Option("--back", help="To the schema of the release before, with every service stopped.")
    ] = False,
) -> None:
    """Bring the database to the current schema."""
    factories: ServiceFactories = context.obj
    settings = load_settings()
    check_database(settings.database_url)
    asyncio.run(check_database_connection(settings.database_url))
    factories.migrate_database(settings.database_url, back)
    render.write_lines(f"the database has the {'previous' if back else 'current'} schema")


def load_settings(*required: str, **over: Any) -> Settings:
    """Load the settings and set up logging. Raises WrongUsage, which names the variable."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `stop_on_signals`: an import may swallow a KeyboardInterrupt
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


def run_event_loop(work: Coroutine[Any, Any, None]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def serve_until_signal(
    name: str, settings: Settings, factories: ServiceFactories, inherited: socket.socket | None = None
) -> None:
    """Run a service until a signal; on an `inherited` socket also until its supervisor ends."""
    from libs.common import log
    from libs.common.http.server import bind, run_server, socket_url
    from libs.common.settings import DEFAULT_PORTS

    check_service(settings, name)
    if name in WITH_DATABASE:
        check_database(settings.database_url)
    bound = inherited or bind(settings.host, DEFAULT_PORTS[name] if settings.port is None else settings.port)
    if name in WITH_DATABASE:
        await wait_for_database(settings.database_url, DATABASE_WAIT_S)
    async with stop_on_signals() as stop, run_server(factories.load_factory(name)(settings), bound) as ended:
        if inherited is not None:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)  # end of file: the supervisor has ended
        tune_memory()
        log.get(name).info("Listening", address=socket_url(bound))
        await wait_for_any(stop, ended)
        if ended.is_set():
            raise Failure(f"{name} ended by itself; its log says why")


async def wait_for_database(database_url: str, within: float) -> None:
    """Wait up to `within` seconds for a database that restarts. Raises what `check_schema` raises."""
    from libs.common import log

    clock = asyncio.get_running_loop().time
    end = clock() + (0.0 if database_url.startswith("sqlite") else within)
    while True:
        try:
            return await check_schema(database_url)
        except NotReachable as error:
            if clock() >= end:
                raise
            log.get("database").warning("Waiting for the database", why=str(error))
            await asyncio.sleep(DATABASE_RETRY_S)


async def check_database_connection(database_url: str) -> None:
    """Raises NotReachable."""
    with _name_database_in_errors(database_url):
        async with _open_database(database_url) as database:
            await database.ready()


async def check_schema(database_url: str) -> None:
    """Raises Failure unless the database has the schema of this release, NotReachable if it does not respond."""
    from libs.common.db import SCHEMA

    with _name_database_in_errors(database_url):
        async with _open_database(database_url) as database:
            schema = await database.schema_revision()
    if schema is None:
        raise Failure("the database has no tables yet; make them with: mlmesh migrate")
    if schema != SCHEMA:
        raise Failure(f"the database has schema {schema}, this release works on {SCHEMA}; try: mlmesh migrate")


@asynccontextmanager
async def _open_database(url: str) -> AsyncIterator[Database]:
    from libs.common.db import Database

    database = Database(url, pool=1)
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def _name_database_in_errors(database_url: str) -> Iterator[None]:
    from libs.common.errors import Unavailable

    try:
        yield
    except Unavailable as error:
        why = error.__cause__ or error
        raise NotReachable(
            f"MLMESH_DATABASE: {hide_password(database_url)} does not answer: {why}".splitlines()[0]
        ) from error


def hide_password(url: str) -> str:
    """The URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second signal exits immediately."""
    loop, stop_event = asyncio.get_running_loop(), asyncio.Event()

    def stop(number: signal.Signals) -> None:
        if stop_event.is_set():
            os._exit(128 + number)
        stop_event.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        yield stop_event
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def wait_for_any(*events: asyncio.Event) -> None:
    """Wait until one of `events` is set."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
