"""What runs of an app, for its page in registry: `GET /internal/apps/{ns}` of scheduler."""

from __future__ import annotations

from libs.common.protocol.message import Message
from libs.common.protocol.route_table import Api


class AppStatus(Message):
    """Everything empty: scheduler does not know the app."""

    deployment: str | None = None
    """The live one."""
    components: tuple[dict[str, object], ...] = ()
    """As `/api/v1/apps/{ns}/components` shows them; registry shows them unchanged."""
    apis: tuple[Api, ...] = ()
    """The published ones."""
