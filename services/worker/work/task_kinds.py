"""What a worker does for each kind of task."""

from __future__ import annotations

from libs.common.protocol.build import BuildSpec
from libs.common.protocol.image import ImageSpec
from libs.common.protocol.instance import InstanceSpec
from services.worker.context import WorkerContext
from services.worker.failures import TaskFailed
from services.worker.files.log_uploader import LogUploader
from services.worker.held_tasks import HeldTask
from services.worker.lease import UnreadableSpec
from services.worker.outcome import Outcome
from services.worker.work.async_prediction import AsyncPrediction
from services.worker.work.build import Build
from services.worker.work.image import Image
from services.worker.work.instance import Instance
from services.worker.work.stage import Stage


class UnreadableTask:
    """Fails a task whose specification this worker cannot read."""

    def __init__(self, context: WorkerContext, held_task: HeldTask, spec: UnreadableSpec) -> None:
        self.held_task, self._problem = held_task, spec.problem
        folder = context.task_folder(held_task.lease)
        self.log = LogUploader(held_task, folder, context.runtime, context.peers)

    async def run(self, *, adopted: bool) -> Outcome:
        """Raises TaskFailed, also if an earlier worker has started it."""
        raise TaskFailed("error", self._problem)


Work = Stage | Instance | Image | Build | AsyncPrediction | UnreadableTask


def create_work(context: WorkerContext, held_task: HeldTask) -> Work:
    spec = held_task.lease.spec
    if isinstance(spec, UnreadableSpec):
        return UnreadableTask(context, held_task, spec)
    if isinstance(spec, ImageSpec):
        return Image(context, held_task, spec)
    if isinstance(spec, BuildSpec):
        return Build(context, held_task, spec)
    if isinstance(spec, InstanceSpec):
        return Instance(context, held_task, spec)
    return AsyncPrediction(context, held_task, spec, spec.call) if spec.call else Stage(context, held_task, spec)
