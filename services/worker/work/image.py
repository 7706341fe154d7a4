"""Finds out which exact image a name means, for a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from libs.common.protocol.image import ImageSpec
from services.worker.context import WorkerContext
from services.worker.files.log_uploader import LogUploader
from services.worker.held_tasks import HeldTask
from services.worker.outcome import Outcome
from services.worker.runtime import Progress, RuntimeFailure

RETRY_DELAYS_S = (1.0, 4.0, 15.0)
"""Before the next tries of a pull whose image registry may be away."""


class Image:
    def __init__(self, context: WorkerContext, held_task: HeldTask, spec: ImageSpec) -> None:
        self.context, self.held_task, self.spec = context, held_task, spec
        folder = context.task_folder(held_task.lease)
        self.log = LogUploader(held_task, folder, context.runtime, context.peers)

    async def run(self, *, adopted: bool) -> Outcome:
        """Raises TaskFailed, RuntimeFailure. An adopted one begins again: the engine keeps the layers that it has."""
        image = await retry_passing(
            lambda: self.context.resolve_image(self.held_task, self.spec.image, self.spec.image_credentials),
            RETRY_DELAYS_S,
            lambda line: self.held_task.update_status(detail=line),
        )
        return Outcome("succeeded", image=image)


async def retry_passing(call: Callable[[], Awaitable[str]], delays: Iterable[float], progress: Progress) -> str:
    """The result of `call`, which is tried again after each delay while its failure may pass. Raises RuntimeFailure."""
    for delay in delays:
        try:
            return await call()
        except RuntimeFailure as failure:
            if not failure.is_passing:
                raise
            progress(f"{failure.detail}; trying again in {delay:g} s")
        await asyncio.sleep(delay)
    return await call()
