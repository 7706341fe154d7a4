"""Publishes events on the bus in the background, after the commit: no request waits for the broker."""

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
        """A lost event only delays: the scheduler also polls the registry every few seconds."""
        for message in messages:
            self._group.create_task(self._publish(message))

    async def _publish(self, message: Message) -> None:
        try:
            await self._bus.publish(message)
        except MeshError as error:
            self._log.info("Failed to publish event; the scheduler will poll", key=message.key, why=error.detail)
