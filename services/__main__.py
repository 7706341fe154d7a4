"""The command `mlmesh`. The only module that knows all five services; each is imported when it is started."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from libs.common.manifests.catalog import Catalog
    from libs.common.manifests.problems import Problem
    from services.cli.service_factories import ServiceFactory
    from services.registry.checks.builds import BuildContext


UNANSWERED = (["git-credential", "store"], ["git-credential", "erase"])
"""What Git calls after a push, which waits for it: `mlmesh login` keeps tokens, Git does not."""
INTERRUPTED = 130
"""As a shell reports SIGINT."""


def load_service_factory(name: str) -> ServiceFactory:
    factory: ServiceFactory = import_module(f"services.{name}.app").create
    return factory


def check_manifests(files: Mapping[str, bytes], applied: Mapping[str, bytes], repository: Path) -> list[Problem]:
    from services.registry.apply.request import read_applied_files as read_applied
    from services.registry.checks.builds import list_builds
    from services.registry.checks.catalog import check_manifests as check_catalog

    app, problems = read_applied(applied)
    catalog, result = check_catalog(files, app.app, app.secrets, unread=app.unread)
    if catalog is not None and list_builds(catalog):
        contexts = _read_contexts(catalog, repository)
        result = check_catalog(files, app.app, app.secrets, unread=app.unread, contexts=contexts)[1]
    return sorted([*problems, *result])


def check_builds(files: Mapping[str, bytes], repository: Path) -> list[Problem]:
    from libs.common.manifests import read_files
    from services.registry.checks.builds import check_builds as check_contexts
    from services.registry.checks.catalog import build_catalog

    manifests = read_files(files).manifests
    return sorted(check_contexts(manifests, _read_contexts(build_catalog(manifests, {}), repository)))


def _read_contexts(catalog: Catalog, repository: Path) -> dict[str, BuildContext]:
    from libs.common.build_files import read_build_files
    from libs.common.manifests.build import list_contexts
    from services.registry.checks.builds import BuildContext, list_builds

    return {
        folder: BuildContext("", read_build_files(repository / folder, dockerfiles))
        for folder, dockerfiles in list_contexts(list_builds(catalog)).items()
        if (repository / folder).is_dir()
    }


def migrate_database(database_url: str, back: bool) -> None:
    from deploy.migrations import downgrade, upgrade

    (downgrade if back else upgrade)(database_url)


def load_teardown() -> ModuleType:
    return import_module("services.worker.teardown")


def main() -> None:
    """While the command is imported, Ctrl-C ends it as it ends any program; from then on it is an exception."""
    if sys.argv[1:] in UNANSWERED:
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from services.cli.command import main as command
    from services.cli.service_factories import ServiceFactories

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(
            command(
                ServiceFactories(load_service_factory, check_manifests, check_builds, migrate_database, load_teardown)
            )
        )
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
