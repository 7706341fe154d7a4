"""What must agree before a release."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def test_the_newest_entry_of_the_changelog_is_the_version() -> None:
    entries = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert entries[0] == _project()["version"]


def test_the_environment_holds_this_version() -> None:
    assert version("mlmesh") == _project()["version"]


def test_the_lock_satisfies_every_dependency() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    wanted = {re.split(r"[\[<>=]", line)[0].replace(".", "-").lower() for line in _project()["dependencies"]}
    assert wanted <= locked


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def test_the_migrations_are_one_chain_that_ends_at_this_releases_schema() -> None:
    """Here, so that `make check` sees two that were written side by side."""
    from alembic.script import ScriptDirectory

    from deploy.migrations import config
    from libs.common.db import SCHEMA

    assert ScriptDirectory.from_config(config("sqlite://")).get_heads() == [SCHEMA]
