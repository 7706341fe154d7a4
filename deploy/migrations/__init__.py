"""The database's schema through time: one history for the tables of registry, scheduler and databox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from libs.common.db import PREVIOUS_SCHEMA, SCHEMA, damage, translate_errors
from libs.common.errors import MeshError

HERE = Path(__file__).parent


def config(database_url: str) -> Config:
    found = Config()
    found.set_main_option("script_location", str(HERE))
    found.attributes["database_url"] = database_url
    return found


def upgrade(database_url: str) -> None:
    """To the newest revision; a database that is there already is left as it is. Raises MeshError."""
    _migrate(command.upgrade, database_url, "head")


def downgrade(database_url: str) -> None:
    """To the schema of the release before; a database that has it already is left as it is. Raises MeshError."""
    _migrate(command.downgrade, database_url, PREVIOUS_SCHEMA)


def _migrate(run: Callable[[Config, str], None], database_url: str, revision: str) -> None:
    try:
        with translate_errors(str(damage.database_file(database_url))):
            run(config(database_url), revision)
    except CommandError as error:
        raise MeshError(
            f"the database is of another release, this one works on schema {SCHEMA} ({error}); "
            "start the release that it is of, or restore a backup that is older"
        ) from error
