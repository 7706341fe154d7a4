"""The command `mlmesh`. The only module that knows all five services; each is imported when it is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from services.cli.command import main as command
from services.cli.parts import Create, Parts

if TYPE_CHECKING:
    from libs.common.manifests.problems import Problem


def create(name: str) -> Create:
    found: Create = import_module(f"services.{name}.app").create
    return found


def check(files: Mapping[str, bytes]) -> list[Problem]:
    from services.registry.catalog import check as checked

    return checked(files, namespace=None)[1]


def upgrade(database_url: str) -> None:
    from deploy.migrations import upgrade as upgraded

    upgraded(database_url)


def main() -> None:
    sys.exit(command(Parts(create, check, upgrade)))


if __name__ == "__main__":
    main()
