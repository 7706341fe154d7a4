"""Image collection: tells an engine which built images nothing will run any more.

Kept are those of live deployments, of the ones before them, of open rollouts and of open tasks, always; others for
UNUSED_AFTER_S since a deployment last named them, or until the engine's disk is nearly full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from libs.common.db import Database, database_time
from libs.common.log import get
from libs.common.protocol.image_inventory import EngineImage, ImageInventory, RemovableImages
from services.scheduler.db import built_images

UNUSED_AFTER_S = 7 * 86400.0


def select_removable(
    images: Iterable[EngineImage], needed: frozenset[str], last_uses: Mapping[tuple[str, str], float], oldest: float
) -> list[EngineImage]:
    """`needed`: images and keys of builds that something runs or may run; `oldest`: the last use from which on an image
    is kept. One without a last use is not known (any more)."""
    return [
        image
        for image in images
        if image.image not in needed and image.key not in needed and last_uses.get((image.app, image.key), 0.0) < oldest
    ]


async def collect_images(db: Database, inventory: ImageInventory) -> RemovableImages:
    """Forget what the engine may remove, so that nobody is given a task for it, and name it."""
    async with db.write() as conn:
        now = await database_time(conn)
        needed = await built_images.list_needed(conn, await built_images.list_apps(conn, inventory))
        last_uses = await built_images.list_last_uses(conn, inventory.engine)
        oldest = now if inventory.is_full else now - UNUSED_AFTER_S
        removable = select_removable(inventory.images, needed, last_uses, oldest)
        await built_images.delete(conn, inventory.engine, removable)
    for image in removable:
        get("scheduler").info("Image unused", app=image.app, key=image.key, engine=inventory.engine)
    return RemovableImages(images=tuple(dict.fromkeys(image.image for image in removable)))
