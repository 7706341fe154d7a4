"""The functions that `services.__main__`, which knows all services, passes to the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from libs.common.manifests.problems import Problem

ServiceFactory = Callable[..., Any]
"""`create(settings, bus=None)`, an ASGI app."""
START_ORDER = ("databox", "registry", "scheduler", "worker", "gateway")
"""The gateway starts last and stops first, so that no caller reaches a partial mesh. Stop order is the reverse."""


@dataclass(frozen=True)
class ServiceFactories:
    """Functions that import the services when they are called."""

    load_factory: Callable[[str], ServiceFactory]
    check_manifests: Callable[[Mapping[str, bytes], Mapping[str, bytes], Path], list[Problem]]
    """Manifest files, files that `mlmesh apply` sends, and the root of the repository."""
    check_builds: Callable[[Mapping[str, bytes], Path], list[Problem]]
    """Whether images can be built: manifest files, and the root of the repository."""
    migrate_database: Callable[[str, bool], None]
    """Migrates the database at this URL to the current schema; with True, back to that of the release before."""
    load_teardown: Callable[[], ModuleType]
    """`services.worker.teardown`: counts and removes a mesh's containers on a Docker Engine."""
