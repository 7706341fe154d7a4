"""What the scheduler's functions need, put together once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from libs.common.bus import Bus
from libs.common.db import Database
from libs.common.http.client import ServiceClients
from libs.common.settings import Settings
from services.scheduler.callbacks.safe_client import PublicHttpClient
from services.scheduler.coalesce import Coalescer
from services.scheduler.components.catalog_cache import CatalogCache
from services.scheduler.model.run import Run
from services.scheduler.notifications import Notifier
from services.scheduler.runs.writer import RunWriter
from services.scheduler.tasks.dispatcher import TaskDispatcher

SHARED_POLL_S = 1.0
SINGLE_POLL_S = 15.0
"""Where no other scheduler is expected."""


@dataclass
class LoopTriggers:
    """How a request tells the loops that there is something to do."""

    dispatch_relay: Callable[[], None] = lambda: None
    output_publisher: Callable[[], None] = lambda: None
    callbacks: Callable[[], None] = lambda: None
    retention: Callable[[], None] = lambda: None
    chains: Callable[[], None] = lambda: None
    reconcile: Callable[[str], None] = lambda _app: None
    registry_sync: Callable[[], None] = lambda: None
    autoscaler: Callable[[], None] = lambda: None
    timers: Callable[[], None] = lambda: None
    """Something that time makes due has begun."""


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
    run_writer: RunWriter
    triggers: LoopTriggers = field(default_factory=LoopTriggers)
    run_reads: Coalescer[tuple[Run, dict[str, Any]] | None] = field(default_factory=Coalescer)

    @property
    def poll_interval(self) -> float:
        """Seconds between two looks for what another scheduler may have changed."""
        return SHARED_POLL_S if self.db.shared else SINGLE_POLL_S
