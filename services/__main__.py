"""The command `mlmesh`. The only module that knows all five services; each is imported when it is started."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libs.common.manifests.problems import Problem
    from services.cli.service_factories import Create


INTERRUPTED = 130
"""As a shell reports SIGINT."""


def create(name: str) -> Create:
    found: Create = import_module(f"services.{name}.app").create
    return found


def check(files: Mapping[str, bytes], applied: Mapping[str, bytes]) -> list[Problem]:
    from services.registry.apply.request import read_applied_files as known
    from services.registry.checks.catalog import check_manifests as checked

    app, problems = known(applied)
    return sorted([*problems, *checked(files, app.app, app.secrets, unread=app.unread)[1]])


def upgrade(database_url: str) -> None:
    from deploy.migrations import upgrade as upgraded

    upgraded(database_url)


def remains() -> ModuleType:
    return import_module("services.worker.teardown")


def main() -> None:
    """While the command is imported, Ctrl-C ends it as it ends any program; from then on it is an exception."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from services.cli.command import main as command
    from services.cli.service_factories import Parts

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(command(Parts(create, check, upgrade, remains)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
