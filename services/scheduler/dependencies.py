"""The dependency container: what app.py builds for routes and control loops. Functions below take what they need."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.common.bus import Bus
from libs.common.db import Database
from libs.common.http.client import ServiceClients
from libs.common.http.public_client import PublicHttpClient
from libs.common.settings import Settings
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.run import Run
from services.scheduler.read_coalescer import ReadCoalescer
from services.scheduler.runs.submission_handler import SubmissionHandler
from services.scheduler.runs.views import RunJson
from services.scheduler.tasks.ready_publisher import ReadyPublisher
from services.scheduler.tasks.transition_applier import TransitionApplier

SHARED_POLL_S = 1.0
SINGLE_POLL_S = 15.0
"""With SQLite, where no other scheduler can change the database."""


@dataclass(frozen=True)
class Dependencies:
    settings: Settings
    db: Database
    bus: Bus
    services: ServiceClients
    notifier: LongPollNotifier
    public_http: PublicHttpClient
    catalogs: LiveCatalogCache
    publisher: ReadyPublisher
    triggers: LoopTriggers
    applier: TransitionApplier
    submission_handler: SubmissionHandler
    run_reads: ReadCoalescer[tuple[Run, RunJson] | None] = field(default_factory=ReadCoalescer)

    @property
    def poll_interval(self) -> float:
        """Seconds between two reads for changes by another scheduler."""
        return SHARED_POLL_S if self.db.shared else SINGLE_POLL_S
