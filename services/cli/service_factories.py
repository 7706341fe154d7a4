"""What the command line is handed by the one module that knows the services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from libs.common.manifests.problems import Problem

ServiceFactory = Callable[..., Any]
"""`create(settings, bus=None)`, an ASGI app."""
START_ORDER = ("databox", "registry", "scheduler", "worker", "gateway")
"""The gateway opens last and closes first: nobody meets half a mesh. They stop in the opposite order."""


@dataclass(frozen=True)
class ServiceFactories:
    """Functions that import what they need when they are called."""

    load_factory: Callable[[str], ServiceFactory]
    check_manifests: Callable[[Mapping[str, bytes], Mapping[str, bytes]], list[Problem]]
    """Manifest files, and files that `mlmesh apply` sends."""
    upgrade_database: Callable[[str], None]
    """The database at this URL to the current schema."""
    load_teardown: Callable[[], ModuleType]
    """`services.worker.teardown`: what a mesh leaves on a Docker Engine."""
