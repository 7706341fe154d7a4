"""Asynchronous access to the database: SQLite for one machine, PostgreSQL for more. SQLAlchemy Core, no ORM.

Owns transactions and dialects; tables belong to the services (`services.*.db`). Never makes a network call inside a
transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

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
from libs.common.db.sqlite import begin_with_next_statement, share_write_lock
from libs.common.errors import DiskFull, Invalid, Unavailable

__all__ = [
    "PREVIOUS_SCHEMA",
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
    "upsert_in",
]

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""Column type of a JSON document."""
SCHEMA = "0020"
"""The revision of deploy/migrations that this release needs."""
PREVIOUS_SCHEMA = "0010"
"""That of the release before."""
SCHEMA_TABLE = "mlmesh_schema"
POOL_SIZE = 10
RETRY_AFTER_S = 2.0
NUL_SQLSTATES = ("22021", "22P05")
"""PostgreSQL's codes for the character U+0000 in a text, plain or in JSON."""


class DatabaseNow(FunctionElement[float]):
    """SQL function: the current time of the database clock in epoch seconds."""

    type = Double()
    inherit_cache = True


NOW_SQL = {
    "postgresql": "extract(epoch FROM clock_timestamp())::float8",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}


@compiles(DatabaseNow)
def _compile_now(_element: DatabaseNow, compiler: SQLCompiler, **_options: Any) -> str:
    return NOW_SQL[compiler.dialect.name]


SELECT_NOW = select(DatabaseNow())


class Database:
    """A pool of connections to `url` (`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`)."""

    def __init__(self, url: str, pool: int = POOL_SIZE, options: Mapping[str, Any] | None = None) -> None:
        """`options`: execution options of every connection, such as caches of what its queries read."""
        self._engine = create_engine(url, pool)
        self.dialect = self._engine.dialect.name
        auto = {} if self.dialect == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
        engine = self._engine.execution_options(**(options or {}))
        self._writers, self._readers = ConnectionCache(engine), ConnectionCache(engine.execution_options(**auto))
        """With SQLite, neither begins a transaction implicitly."""
        self._write_lock: AbstractAsyncContextManager[object] = nullcontext()

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the database: SQLite is for a mesh of one process."""
        return self.dialect != "sqlite"

    @asynccontextmanager
    async def write(self, *, single_statement: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed at the end. Raises Unavailable when the database is unreachable or overloaded.

        `single_statement`: the transaction is one statement, which both databases commit without BEGIN and COMMIT.
        """
        if self.dialect == "sqlite":
            self._write_lock = share_write_lock(self._engine.url.database or "")
        if single_statement:
            async with self._write_lock, self.read() as connection:
                yield connection
            return
        with translate_errors(self._engine.url.database):
            async with self._write_lock, self._writers.connection() as connection:
                if self.dialect == "sqlite":
                    begin_with_next_statement(connection)
                yield connection
                await connection.commit()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading: each statement sees what was committed before it began."""
        with translate_errors(self._engine.url.database):
            async with self._readers.connection() as connection:
                yield connection

    async def ready(self) -> None:
        """Raises Unavailable unless the database responds, DatabaseDamaged for a damaged SQLite file."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))
        if file := damage.database_file(self._engine.url):
            await asyncio.to_thread(damage.check_file_in_use, file)

    async def schema_revision(self) -> str | None:
        """The revision of the schema in the database; None in an empty database."""
        async with self.read() as connection:
            if not await connection.run_sync(lambda sync_connection: inspect(sync_connection).has_table(SCHEMA_TABLE)):
                return None
            result = await connection.execute(text(f"SELECT version_num FROM {SCHEMA_TABLE}"))  # noqa: S608  a constant
            return cast(str | None, result.scalar())

    async def create_all(self, metadata: MetaData) -> None:
        """Creates the current tables; installations use the migrations instead."""
        async with self.write() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        await self._writers.close()
        await self._readers.close()
        await self._engine.dispose()


@contextmanager
def translate_errors(database: str | None) -> Iterator[None]:
    """Translates errors of the driver; `database` is the file of SQLite."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, OSError, TimeoutError) as error:
        if "disk is full" in str(getattr(error, "orig", "")):
            raise DiskFull("the disk of the database is full") from error
        raise Unavailable("the database does not respond", retry_after=RETRY_AFTER_S) from error
    except DBAPIError as error:
        if damage.is_damage(error.orig):
            raise damage.damaged_error(Path(database or ""), error.orig) from error
        if getattr(error.orig, "sqlstate", None) in NUL_SQLSTATES:
            raise Invalid("a text contains the character U+0000, which cannot be stored; remove it") from error
        if error.connection_invalidated or _is_connection_lost(error):
            raise Unavailable("lost the connection to the database", retry_after=RETRY_AFTER_S) from error
        raise


def _is_connection_lost(error: DBAPIError) -> bool:
    """asyncpg reports lost connections, shutdowns (08, 53, 57) and deadlocks (40) as plain DBAPIError."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return (
        state[:2] in ("08", "40", "53", "57")
        or "connection" in type(getattr(error.orig, "__cause__", None)).__name__.lower()
    )


async def database_time(connection: AsyncConnection) -> float:
    """The current time of the database clock in epoch seconds. Leases use no other clock."""
    return (await connection.execute(SELECT_NOW)).scalar_one()


def upsert(connection: AsyncConnection, table: Table) -> Any:
    """The dialect's `insert(table)`, with `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return upsert_in(connection.dialect.name, table)


def upsert_in(dialect: str, table: Table) -> Any:
    """`upsert` for a statement that is built once and executed often."""
    return (postgresql_insert if dialect == "postgresql" else sqlite_insert)(table)
