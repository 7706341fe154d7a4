"""What the scheduler's functions need, put together once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from libs.common.bus import Bus
from libs.common.db import Database
from libs.common.http.client import Peers
from libs.common.settings import Settings
from services.scheduler.callbacks.safe_client import Outside
from services.scheduler.coalesce import Looks
from services.scheduler.components.catalog_cache import Catalogs
from services.scheduler.model.run import Run
from services.scheduler.notifications import Bells
from services.scheduler.runs.writer import Admissions
from services.scheduler.tasks.dispatcher import TaskDispatcher

SHARED_LOOK_S = 1.0
ALONE_LOOK_S = 15.0
"""Where no other scheduler is expected."""


@dataclass
class Wakes:
    """How a request tells the loops that there is something to do."""

    relay: Callable[[], None] = lambda: None
    publish: Callable[[], None] = lambda: None
    tell: Callable[[], None] = lambda: None
    sweep: Callable[[], None] = lambda: None
    succeed: Callable[[], None] = lambda: None
    converge: Callable[[str], None] = lambda _app: None
    intake: Callable[[], None] = lambda: None
    scale: Callable[[], None] = lambda: None
    hurry: Callable[[], None] = lambda: None
    """Something that time makes due has begun."""


@dataclass(frozen=True)
class Parts:
    settings: Settings
    db: Database
    bus: Bus
    peers: Peers
    bells: Bells
    outside: Outside
    catalogs: Catalogs
    doorbells: TaskDispatcher
    admissions: Admissions
    wakes: Wakes = field(default_factory=Wakes)
    looks: Looks[tuple[Run, dict[str, Any]] | None] = field(default_factory=Looks)

    @property
    def look_again(self) -> float:
        """Seconds between two looks for what another scheduler may have changed."""
        return SHARED_LOOK_S if self.db.shared else ALONE_LOOK_S
