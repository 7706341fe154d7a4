"""Bulk inserts: many rows of several tables in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import orjson
from sqlalchemy import Column, Table, insert, literal
from sqlalchemy.dialects.postgresql import dialect as postgresql_dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.json_nul import replace_nul

Rows = Sequence[Mapping[str, Any]]
"""All rows have the same columns."""


async def insert_many(connection: AsyncConnection, *new: tuple[Table, Rows]) -> None:
    """Inserts rows into one or more tables. PostgreSQL gets one statement, with the rows of each table as one JSON
    document: a third of the cost of single rows."""
    inserts = [(table, rows) for table, rows in new if rows]
    if connection.dialect.name == "sqlite":
        for table, rows in inserts:
            await connection.execute(insert(table), list(rows))
    elif inserts:
        statement = _build_insert_all(tuple((table, tuple(rows[0])) for table, rows in inserts))
        await connection.exec_driver_sql(statement, tuple(dump_json(rows) for _, rows in inserts))


def dump_json(value: Any) -> str:
    """JSON that every database can store."""
    return replace_nul(orjson.dumps(value).decode())


DIALECT = postgresql_dialect()  # type: ignore[no-untyped-call]


@cache
def _build_insert_all(tables: tuple[tuple[Table, tuple[str, ...]], ...]) -> str:
    *ctes, last = (_build_insert(table, columns, number) for number, (table, columns) in enumerate(tables, 1))
    expressions = ", ".join(f"t{number} AS ({insert})" for number, insert in enumerate(ctes, 1))
    return f"WITH {expressions} {last}" if ctes else last


def _build_insert(table: Table, present: tuple[str, ...], number: int) -> str:
    """An insert of the JSON array in parameter `number`, with defaults in the columns that are not `present`."""
    columns = [table.c[name] for name in present]
    names = ", ".join(f'"{column.name}"' for column in columns)
    types = ", ".join(f'"{column.name}" {column.type.compile(DIALECT)}' for column in columns)
    source = f"jsonb_to_recordset((${number}::text)::jsonb) AS new({types})"
    defaults = {
        column.name: _render_default(column)
        for column in table.c
        if column.name not in present and column.default is not None
    }
    into = ", ".join((names, *(f'"{name}"' for name in defaults)))
    return f"INSERT INTO {table.name} ({into}) SELECT {', '.join((names, *defaults.values()))} FROM {source}"  # noqa: S608  names of our own tables


def _render_default(column: Column[Any]) -> str:
    value = literal(cast(Any, column.default).arg, column.type)
    return str(value.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
