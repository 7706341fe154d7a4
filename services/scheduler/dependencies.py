"""The dependency container of routes and control loops; functions below them take what they need."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.common.bus import Bus
from libs.common.db import Database
from libs.common.http.client import ServiceClients
from libs.common.settings import Settings
from services.scheduler.catalog_cache import CatalogCache
from services.scheduler.coalesce import Coalescer
from services.scheduler.model.run import Run
from services.scheduler.notifications import Notifier
from services.scheduler.public_http_client import PublicHttpClient
from services.scheduler.runs.create import RunCreator
from services.scheduler.runs.views import RunJson
from services.scheduler.tasks.apply import TransitionApplier
from services.scheduler.tasks.dispatcher import TaskDispatcher
from services.scheduler.triggers import LoopTriggers

SHARED_POLL_S = 1.0
SINGLE_POLL_S = 15.0
"""With SQLite, where no other scheduler can change the database."""


@dataclass(frozen=True)
class Dependencies:
    settings: Settings
    db: Database
    bus: Bus
    services: ServiceClients
    notifier: Notifier
    public_http: PublicHttpClient
    catalogs: CatalogCache
    dispatcher: TaskDispatcher
    triggers: LoopTriggers
    applier: TransitionApplier
    run_creator: RunCreator
    run_reads: Coalescer[tuple[Run, RunJson] | None] = field(default_factory=Coalescer)

    @property
    def poll_interval(self) -> float:
        """Seconds between two reads for changes by another scheduler."""
        return SHARED_POLL_S if self.db.shared else SINGLE_POLL_S
