"""Asynchronous access to the database: SQLite for one machine, PostgreSQL for more. SQLAlchemy Core, no ORM.

Holds transactions and dialects; tables belong to the services (`services.*.db`). Never make a network call
inside a transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import cache
from typing import Any, cast
from weakref import WeakKeyDictionary

import aiosqlite
import orjson
from sqlalchemy import JSON, Column, Double, MetaData, Table, event, insert, inspect, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import dialect as postgresql_dialect
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from libs.common.errors import Unavailable

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""Column type of a JSON document."""
SCHEMA = "0010"
"""The revision of deploy/migrations that this release works on."""
SCHEMA_TABLE = "mlmesh_schema"
BUSY_TIMEOUT_S = 10
CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 15
POOL_SIZE = 10
POOL_TIMEOUT_S = 5
IDLE_S = 2.0
RETRY_AFTER_S = 2.0


class now(FunctionElement[float]):
    """The time in epoch seconds on the database's clock, as a column of a statement."""

    type = Double()
    inherit_cache = True


CLOCK = {
    "postgresql": "extract(epoch FROM clock_timestamp())::float8",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}


@compiles(now)
def _clock(_element: now, compiler: SQLCompiler, **_more: Any) -> str:
    return CLOCK[compiler.dialect.name]


NOW = select(now())

_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = WeakKeyDictionary()
"""Who writes next, by file."""


class Database:
    """A pool of connections to `url` (`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`)."""

    def __init__(self, url: str, pool: int = POOL_SIZE) -> None:
        self._engine = _engine(url, pool)
        self.dialect = self._engine.dialect.name
        auto = {} if self.dialect == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
        self._reading = self._engine.execution_options(**auto)
        """The same connections. SQLite's never begin a transaction of their own (`_sqlite_pragmas`)."""

    @asynccontextmanager
    async def write(self, *, alone: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed at the end. Raises Unavailable when the database is away or too busy.

        `alone`: of one statement, which PostgreSQL commits by itself.
        """
        if alone and self.dialect != "sqlite":
            async with self.read() as connection:
                yield connection
            return
        async with _translated(), self._turn(), self._engine.connect() as connection:
            if self.dialect == "sqlite":
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            await connection.commit()

    def _turn(self) -> AbstractAsyncContextManager[None]:
        """SQLite has one writer at a time, and lets the others sleep ever longer between looks: ours take turns."""
        if self.dialect != "sqlite":
            return nullcontext()
        turns = _TURNS.setdefault(asyncio.get_running_loop(), {})
        return turns.setdefault(self._engine.url.database or "", asyncio.Lock())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Each statement sees what is committed when it begins."""
        async with _translated(), self._reading.connect() as connection:
            yield connection

    async def ready(self) -> None:
        """Raises Unavailable unless the database answers."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def schema(self) -> str | None:
        """The revision that the database has; None when it has none yet."""
        async with self.read() as connection:
            if not await connection.run_sync(lambda found: inspect(found).has_table(SCHEMA_TABLE)):
                return None
            found = await connection.execute(text(f"SELECT version_num FROM {SCHEMA_TABLE}"))  # noqa: S608  a constant
            return cast(str | None, found.scalar())

    async def create_all(self, metadata: MetaData) -> None:
        """Make the tables as they are now; deployments use the migrations instead."""
        async with self.write() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        await self._engine.dispose()


def _engine(url: str, pool: int) -> AsyncEngine:
    dumps = {"json_serializer": lambda value: orjson.dumps(value).decode(), "json_deserializer": orjson.loads}
    if make_url(url).get_backend_name() == "sqlite":
        arguments: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S, "async_creator_fn": _opened}
        engine = create_async_engine(url, connect_args=arguments, pool_size=pool, **dumps)
        event.listen(engine.sync_engine, "connect", _sqlite_pragmas)
        return engine
    engine = create_async_engine(
        url,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": STATEMENT_TIMEOUT_S},
        pool_size=2 * pool,
        max_overflow=0,  # one that is closed after each use costs more than all that is done over it
        pool_timeout=POOL_TIMEOUT_S,
        **dumps,
    )
    event.listen(engine.sync_engine, "checkout", _asked_first)
    event.listen(engine.sync_engine, "checkin", _used)
    return engine


async def _opened(*arguments: Any, **options: Any) -> aiosqlite.Connection:
    """A cancelled opening is waited for and closed: its thread answers to this loop, which may end with the caller."""

    async def opened() -> aiosqlite.Connection:
        connection = aiosqlite.connect(*arguments, **options)
        connection._thread.daemon = True  # as SQLAlchemy does: what is left open at the end must not hold the process
        return await connection

    opening = asyncio.ensure_future(opened())
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(OSError, sqlite3.Error):
            await (await opening).close()
        raise


def _asked_first(connection: Any, record: Any, _proxy: Any) -> None:
    """One that was idle is asked whether it still leads to the server; in a busy time that would be half the work."""
    if time.monotonic() - record.info.get("used", 0.0) < IDLE_S:
        return
    try:
        connection.ping()
    except Exception as error:
        raise DisconnectionError("the server has left") from error


def _used(_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us: the driver's own are deferred and fail at once
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_S * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, OSError, TimeoutError) as error:
        raise Unavailable("the database does not answer", retry_after=RETRY_AFTER_S) from error
    except DBAPIError as error:
        if error.connection_invalidated or _server_left(error):
            raise Unavailable("the database went away", retry_after=RETRY_AFTER_S) from error
        raise


def _server_left(error: DBAPIError) -> bool:
    """asyncpg's lost connections, shutdowns (08, 53, 57) and deadlocks (40) arrive as plain DBAPIError."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return (
        state[:2] in ("08", "40", "53", "57")
        or "connection" in type(getattr(error.orig, "__cause__", None)).__name__.lower()
    )


async def clock(connection: AsyncConnection) -> float:
    """Now, in epoch seconds, on the database's clock: the only one that leases know."""
    return (await connection.execute(NOW)).scalar_one()


Rows = Sequence[Mapping[str, Any]]
"""With the same columns."""


async def insert_many(connection: AsyncConnection, *new: tuple[Table, Rows]) -> None:
    """Rows of one or more tables. PostgreSQL takes all in one statement, and the rows of a table as one document:
    one by one they would cost thrice that."""
    given = [(table, rows) for table, rows in new if rows]
    if connection.dialect.name == "sqlite":
        for table, rows in given:
            await connection.execute(insert(table), list(rows))
    elif given:
        statement = _recordsets(tuple((table, tuple(rows[0])) for table, rows in given))
        documents = tuple(orjson.dumps(rows).decode() for _, rows in given)
        await connection.exec_driver_sql(statement, documents)


DIALECT = postgresql_dialect()  # type: ignore[no-untyped-call]


@cache
def _recordsets(tables: tuple[tuple[Table, tuple[str, ...]], ...]) -> str:
    *first, last = (_recordset(table, given, number) for number, (table, given) in enumerate(tables, 1))
    others = ", ".join(f"t{number} AS ({one})" for number, one in enumerate(first, 1))
    return f"WITH {others} {last}" if first else last


def _recordset(table: Table, given: tuple[str, ...], number: int) -> str:
    """Inserts what parameter `number` has in the given columns, and their defaults in the others."""
    columns = [table.c[name] for name in given]
    names = ", ".join(f'"{one.name}"' for one in columns)
    types = ", ".join(f'"{one.name}" {one.type.compile(DIALECT)}' for one in columns)
    source = f"jsonb_to_recordset((${number}::text)::jsonb) AS new({types})"
    rest = {one.name: _default(one) for one in table.c if one.name not in given and one.default is not None}
    into = ", ".join((names, *(f'"{name}"' for name in rest)))
    return f"INSERT INTO {table.name} ({into}) SELECT {', '.join((names, *rest.values()))} FROM {source}"  # noqa: S608  our own names


def _default(column: Column[Any]) -> str:
    value = literal(cast(Any, column.default).arg, column.type)
    return str(value.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))


def upsert(connection: AsyncConnection, table: Table) -> Any:
    """The dialect's `insert(table)`, which has `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return (postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert)(table)
