"""Damage of SQLite's file: seen at the start, or when a statement meets it, and told with the file and what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from libs.common.errors import DatabaseDamaged, Unavailable

DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
PRIMARY_CODE_MASK = 0xFF
"""The bits of an extended code that name its kind."""
MIN_PAGE_BYTES = 512
"""Bytes of SQLite's least page: it takes a shorter file for an empty one, and writes over it."""
CHECK_STATEMENTS = ("PRAGMA schema_version", "SELECT * FROM sqlite_master")
"""What every statement needs, and no more: a whole check takes seconds for each gigabyte."""


def database_file(url: str | URL) -> Path | None:
    """Where SQLite keeps the database of `url`; None: it is another, or in memory."""
    found = make_url(url)
    named = found.get_backend_name() == "sqlite" and found.database not in (None, "", ":memory:")
    return Path(found.database or "").absolute() if named else None


def check_file(file: Path) -> None:
    """Raises Damaged, or Unavailable when it cannot be opened; one that is empty is a new one."""
    if 0 < file.stat().st_size < MIN_PAGE_BYTES:
        raise damaged_error(file, "file is not a database")
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as connection:
            for look in CHECK_STATEMENTS:
                connection.execute(look).fetchall()
            _check_versions(connection)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise damaged_error(file, error) from error
        raise Unavailable(f"the database {file} cannot be opened: {error}") from error


def check_file_in_use(file: Path) -> None:
    """The same of one that is in use: an open file that was removed or emptied goes on answering for a while."""
    if not file.exists() or not file.stat().st_size:
        raise damaged_error(file, "it was removed or emptied")
    check_file(file)


def _check_versions(connection: sqlite3.Connection) -> None:
    """The first page of a table of ours, which is read at every start."""
    from libs.common.db import SCHEMA_TABLE

    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if connection.execute(known, (SCHEMA_TABLE,)).fetchone():
        connection.execute(f"SELECT version_num FROM {SCHEMA_TABLE}").fetchall()  # noqa: S608  a constant


def is_damage(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & PRIMARY_CODE_MASK in DAMAGE_CODES


def damaged_error(file: Path, why: object) -> DatabaseDamaged:
    return DatabaseDamaged(
        f"the database {file} is damaged ({why}); restore it from a backup, or move {file.parent} away to begin anew"
    )
