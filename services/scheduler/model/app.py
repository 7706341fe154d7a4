"""Apps, as the registry describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from libs.common.protocol.access import AppAccess


@dataclass(frozen=True, kw_only=True)
class App:
    """One app, with the catalog of its live deployment."""

    name: str
    deployment: str | None = None
    """The live deployment."""
    commit: str = ""
    catalog: dict[str, Any] | None = None
    access: AppAccess = field(default_factory=AppAccess)
