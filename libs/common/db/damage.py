"""Detects damage of SQLite's file, at startup and in failed statements, and explains what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from libs.common.errors import DatabaseDamaged, Unavailable

DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
PRIMARY_CODE_MASK = 0xFF
"""Mask for the primary code of an extended result code."""
MIN_PAGE_BYTES = 512
"""The smallest page of SQLite: it treats a shorter file as empty, and overwrites it."""
CHECK_STATEMENTS = ("PRAGMA schema_version", "SELECT * FROM sqlite_master")
"""Read only what every statement needs: a full check takes seconds per gigabyte."""


def database_file(url: str | URL) -> Path | None:
    """The file of an SQLite database; None for an in-memory database and for other databases."""
    parsed = make_url(url)
    has_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
    return Path(parsed.database or "").absolute() if has_file else None


def check_file(file: Path) -> None:
    """Raises DatabaseDamaged, or Unavailable if the file cannot be opened. An empty file is a new database."""
    if 0 < file.stat().st_size < MIN_PAGE_BYTES:
        raise damaged_error(file, "file is not a database")
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as connection:
            for statement in CHECK_STATEMENTS:
                connection.execute(statement).fetchall()
            _check_versions(connection)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise damaged_error(file, error) from error
        raise Unavailable(f"the database {file} cannot be opened: {error}") from error


def check_file_in_use(file: Path) -> None:
    """As `check_file`, for an open database: SQLite does not notice that its file was removed or truncated."""
    if not file.exists() or not file.stat().st_size:
        raise damaged_error(file, "it was removed or truncated")
    check_file(file)


def _check_versions(connection: sqlite3.Connection) -> None:
    """Reads the first page of the schema table, as every start does."""
    from libs.common.db import SCHEMA_TABLE

    exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if connection.execute(exists, (SCHEMA_TABLE,)).fetchone():
        connection.execute(f"SELECT version_num FROM {SCHEMA_TABLE}").fetchall()  # noqa: S608  a constant


def is_damage(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & PRIMARY_CODE_MASK in DAMAGE_CODES


def damaged_error(file: Path, why: object) -> DatabaseDamaged:
    return DatabaseDamaged(
        f"the database {file} is damaged ({why}); restore it from a backup, or move {file.parent} away to begin anew"
    )
