"""Asynchronous access to the database: SQLite for one machine, PostgreSQL for more. SQLAlchemy Core, no ORM.

Holds transactions and dialects; tables belong to the services (`services.*.db`). Never make a network call
inside a transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import JSON, Double, MetaData, Table, inspect, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from libs.common.db import damage
from libs.common.db.bulk_insert import Rows, insert_many
from libs.common.db.connection_cache import ConnectionCache, create_engine
from libs.common.errors import DiskFull, Invalid, Unavailable

__all__ = [
    "SCHEMA",
    "SCHEMA_TABLE",
    "Database",
    "DatabaseNow",
    "Json",
    "Rows",
    "database_time",
    "insert_many",
    "translate_errors",
    "upsert",
]

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""Column type of a JSON document."""
SCHEMA = "0010"
"""The revision of deploy/migrations that this release works on."""
SCHEMA_TABLE = "mlmesh_schema"
POOL_SIZE = 10
RETRY_AFTER_S = 2.0
NUL_SQLSTATES = ("22021", "22P05")
"""PostgreSQL's words for the character U+0000 in a text, plain or in JSON."""


class DatabaseNow(FunctionElement[float]):
    """The time in epoch seconds on the database's clock, as a column of a statement."""

    type = Double()
    inherit_cache = True


NOW_SQL = {
    "postgresql": "extract(epoch FROM clock_timestamp())::float8",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}


@compiles(DatabaseNow)
def _compile_now(_element: DatabaseNow, compiler: SQLCompiler, **_more: Any) -> str:
    return NOW_SQL[compiler.dialect.name]


SELECT_NOW = select(DatabaseNow())

_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = WeakKeyDictionary()
"""Who writes next, by file."""


class Database:
    """A pool of connections to `url` (`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`)."""

    def __init__(self, url: str, pool: int = POOL_SIZE, options: Mapping[str, Any] | None = None) -> None:
        """`options`: execution options of every connection, such as caches of what its queries read."""
        self._engine = create_engine(url, pool)
        self.dialect = self._engine.dialect.name
        auto = {} if self.dialect == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
        engine = self._engine.execution_options(**(options or {}))
        self._writers, self._readers = ConnectionCache(engine), ConnectionCache(engine.execution_options(**auto))
        """SQLite's never begin a transaction of their own."""

    @property
    def shared(self) -> bool:
        """Whether other processes are expected to change it: SQLite is for a mesh that is one process."""
        return self.dialect != "sqlite"

    @asynccontextmanager
    async def write(self, *, single_statement: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed at the end. Raises Unavailable when the database is away or too busy.

        `alone`: of one statement, which PostgreSQL commits by itself.
        """
        if single_statement and self.dialect != "sqlite":
            async with self.read() as connection:
                yield connection
            return
        with translate_errors(self._engine.url.database):
            async with self._writer_lock(), self._writers.connection() as connection:
                if self.dialect == "sqlite":
                    await connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                await connection.commit()

    def _writer_lock(self) -> AbstractAsyncContextManager[None]:
        """SQLite has one writer at a time, and lets the others sleep ever longer between looks: ours take turns."""
        if self.dialect != "sqlite":
            return nullcontext()
        turns = _TURNS.setdefault(asyncio.get_running_loop(), {})
        return turns.setdefault(self._engine.url.database or "", asyncio.Lock())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Each statement sees what is committed when it begins."""
        with translate_errors(self._engine.url.database):
            async with self._readers.connection() as connection:
                yield connection

    async def ready(self) -> None:
        """Raises Unavailable unless the database answers, Damaged when SQLite's file is not what it was."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))
        if file := damage.database_file(self._engine.url):
            await asyncio.to_thread(damage.check_file_in_use, file)

    async def schema_revision(self) -> str | None:
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
        await self._writers.close()
        await self._readers.close()
        await self._engine.dispose()


@contextmanager
def translate_errors(database: str | None) -> Iterator[None]:
    """The driver's errors as ours; `database`: its file, with SQLite."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, OSError, TimeoutError) as error:
        if "disk is full" in str(getattr(error, "orig", "")):
            raise DiskFull("the disk that the database is on is full") from error
        raise Unavailable("the database does not answer", retry_after=RETRY_AFTER_S) from error
    except DBAPIError as error:
        if damage.is_damage(error.orig):
            raise damage.damaged_error(Path(database or ""), error.orig) from error
        if getattr(error.orig, "sqlstate", None) in NUL_SQLSTATES:
            raise Invalid("a text has the character U+0000, which cannot be kept; leave it out") from error
        if error.connection_invalidated or _is_connection_lost(error):
            raise Unavailable("the database went away", retry_after=RETRY_AFTER_S) from error
        raise


def _is_connection_lost(error: DBAPIError) -> bool:
    """asyncpg's lost connections, shutdowns (08, 53, 57) and deadlocks (40) arrive as plain DBAPIError."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return (
        state[:2] in ("08", "40", "53", "57")
        or "connection" in type(getattr(error.orig, "__cause__", None)).__name__.lower()
    )


async def database_time(connection: AsyncConnection) -> float:
    """Now, in epoch seconds, on the database's clock: the only one that leases know."""
    return (await connection.execute(SELECT_NOW)).scalar_one()


def upsert(connection: AsyncConnection, table: Table) -> Any:
    """The dialect's `insert(table)`, which has `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return (postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert)(table)
