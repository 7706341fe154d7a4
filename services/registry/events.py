"""Rings on the bus, in the background: whoever rings has committed already, and nobody waits for a broker."""

from __future__ import annotations

import asyncio

from libs.common import log
from libs.common.bus import Bus
from libs.common.errors import MeshError
from libs.common.messages import Message


class EventPublisher:
    def __init__(self, bus: Bus, group: asyncio.TaskGroup) -> None:
        self._bus = bus
        self._group = group
        self._log = log.get("registry")

    def publish_soon(self, *messages: Message) -> None:
        """Lost rings only delay: the scheduler looks by itself every few seconds."""
        for message in messages:
            self._group.create_task(self._publish(message))

    async def _publish(self, message: Message) -> None:
        try:
            await self._bus.publish(message)
        except MeshError as error:
            self._log.info("a message was not taken", key=message.key, why=error.detail)
