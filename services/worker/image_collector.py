"""Removes built images from the engine that nothing runs any more, as the scheduler says."""

from __future__ import annotations

from libs.common import log
from libs.common.periodic_task import for_each
from libs.common.protocol.image_inventory import EngineImage, ImageInventory, RemovableImages
from services.worker.context import WorkerContext

INTERVAL_S = 3600.0


class ImageCollector:
    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    async def run_once(self) -> None:
        runtime = self._context.runtime
        built = await runtime.list_built_images()
        is_full = await runtime.is_disk_full()
        if built:
            images = tuple(EngineImage(app=image.app, key=image.key, image=image.id) for image in built)
            inventory = ImageInventory(engine=runtime.engine, is_full=is_full, images=images)
            response = await self._context.peers.scheduler.post("/internal/images", inventory.to_json())
            await for_each(RemovableImages.model_validate(response).images, self._remove_image)
        if is_full:
            await runtime.prune_build_cache()

    async def _remove_image(self, image: str) -> None:
        await self._context.runtime.remove_image(image)
        log.get("worker").info("Image removed", image=image)
