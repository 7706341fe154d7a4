"""The log of deliveries forgets what no forge repeats any more."""

from __future__ import annotations

from libs.common.db import Database, database_time
from services.registry.db import deliveries
from services.registry.db.deliveries import RETENTION_S
from services.registry.deliveries import Delivery
from services.registry.delivery_log import DeliveryLog
from tests.registry.conftest import Registry
from tests.registry.working_copy import WorkingCopy


async def test_old_deliveries_are_deleted(each_registry: Registry, working_copy: WorkingCopy) -> None:
    await each_registry.apply(working_copy)
    database = Database(each_registry.settings.database_url)
    try:
        async with database.write() as conn:
            now = await database_time(conn)
            await deliveries.add_accepted(conn, Delivery("old", "leafscan", 204), now - RETENTION_S - 60)
            await deliveries.add_accepted(conn, Delivery("newer", "leafscan", 204), now - RETENTION_S + 60)
        await DeliveryLog(database).delete_old()
        async with database.read() as conn:
            assert [row.id for row in await deliveries.list_newest(conn, "leafscan", 10)] == ["newer"]
    finally:
        await database.close()
