"""Many rows at once."""

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
"""With the same columns."""


async def insert_many(connection: AsyncConnection, *new: tuple[Table, Rows]) -> None:
    """Rows of one or more tables. PostgreSQL takes all in one statement, and the rows of a table as one document:
    one by one they would cost thrice that."""
    given = [(table, rows) for table, rows in new if rows]
    if connection.dialect.name == "sqlite":
        for table, rows in given:
            await connection.execute(insert(table), list(rows))
    elif given:
        statement = _build_insert_all(tuple((table, tuple(rows[0])) for table, rows in given))
        await connection.exec_driver_sql(statement, tuple(dump_json(rows) for _, rows in given))


def dump_json(value: Any) -> str:
    """JSON that every database can keep."""
    return replace_nul(orjson.dumps(value).decode())


DIALECT = postgresql_dialect()  # type: ignore[no-untyped-call]


@cache
def _build_insert_all(tables: tuple[tuple[Table, tuple[str, ...]], ...]) -> str:
    *first, last = (_build_insert(table, given, number) for number, (table, given) in enumerate(tables, 1))
    others = ", ".join(f"t{number} AS ({one})" for number, one in enumerate(first, 1))
    return f"WITH {others} {last}" if first else last


def _build_insert(table: Table, given: tuple[str, ...], number: int) -> str:
    """Inserts what parameter `number` has in the given columns, and their defaults in the others."""
    columns = [table.c[name] for name in given]
    names = ", ".join(f'"{one.name}"' for one in columns)
    types = ", ".join(f'"{one.name}" {one.type.compile(DIALECT)}' for one in columns)
    source = f"jsonb_to_recordset((${number}::text)::jsonb) AS new({types})"
    rest = {one.name: _render_default(one) for one in table.c if one.name not in given and one.default is not None}
    into = ", ".join((names, *(f'"{name}"' for name in rest)))
    return f"INSERT INTO {table.name} ({into}) SELECT {', '.join((names, *rest.values()))} FROM {source}"  # noqa: S608  our own names


def _render_default(column: Column[Any]) -> str:
    value = literal(cast(Any, column.default).arg, column.type)
    return str(value.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
