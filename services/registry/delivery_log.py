"""The log of webhook deliveries, and how many an app may receive."""

from __future__ import annotations

from contextlib import suppress

from libs.common.db import Database, database_time
from libs.common.errors import MeshError, TooManyRequests
from libs.common.periodic_task import PeriodicTask
from services.registry.db import Connection, deliveries
from services.registry.deliveries import Delivery

MAX_PER_MINUTE = 60
"""Accepted deliveries of an app."""
CLEANUP_INTERVAL_S = 3600.0


class DeliveryLog:
    def __init__(self, database: Database, max_per_minute: int = MAX_PER_MINUTE) -> None:
        self._database = database
        self._max_per_minute = max_per_minute
        self.loop = PeriodicTask("delivery log", self.delete_old, CLEANUP_INTERVAL_S)

    async def delete_old(self) -> None:
        async with self._database.write() as conn:
            await deliveries.delete_old(conn, await database_time(conn))

    async def check_rate(self, app: str) -> None:
        """Raises TooManyRequests. Refused deliveries do not count, or anybody could keep the forge's out."""
        async with self._database.read() as conn:
            await self.require_rate(conn, app)

    async def record(self, delivery: Delivery) -> None:
        async with self._database.write() as conn:
            await deliveries.add_accepted(conn, delivery, await self.require_rate(conn, delivery.app))

    async def require_rate(self, conn: Connection, app: str) -> float:
        """The time, when one more may be accepted now. Raises TooManyRequests."""
        seconds, now = await deliveries.seconds_until_accepted(conn, app, self._max_per_minute)
        if seconds is not None:
            limit = f"an app accepts {self._max_per_minute} deliveries a minute"
            raise TooManyRequests(f"{limit}; polling sees what this one reports", retry_after=seconds, check="rate")
        return now

    async def record_refusal(self, delivery: Delivery) -> None:
        """What cannot be recorded is left out: the sender is told in any case."""
        with suppress(MeshError):
            async with self._database.read() as conn:
                if not await deliveries.may_add_refused(conn, delivery.app, await database_time(conn)):
                    return
            async with self._database.write() as conn:
                await deliveries.add_refused(conn, delivery, await database_time(conn))
