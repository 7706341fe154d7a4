"""Images of a rollout: which exact image each name means, asked of workers before instances start. Pure.

A worker with a Docker Engine answers `name@sha256:…`, or the image's id where no registry has it. The catalog of the
rollout then names exact images, so that instances, stages and rollbacks of a deployment run the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from libs.common.manifests.catalog import Catalog
from libs.common.manifests.container import ImageSource, Resources
from libs.common.protocol.deployment import RolloutProblem
from libs.common.protocol.image import ImageSpec
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker

MAX_NAME = 63
SHORT_DIGEST = len("sha256:") + 12


@dataclass(frozen=True)
class RequestedImage:
    """An image that manifests name."""

    name: str
    credentials: str | None
    needs_gpu: bool
    """All that run it want a GPU: it is pulled where they run."""

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(image=self.name, image_credentials=self.credentials)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(orjson.dumps([self.name, self.credentials])).hexdigest()[:16]

    @property
    def task_name(self) -> str:
        return self.name.rpartition("/")[2][:MAX_NAME]

    def choose_class(self, workers: Iterable[Worker]) -> str:
        """The resource class of its task: one that a worker with an engine has."""
        classes = [resource_class for worker in workers if worker.has_engine for resource_class in worker.classes]
        preferred = "gpu" if self.needs_gpu else "cpu"
        return preferred if preferred in classes or not classes else classes[0]


@dataclass(frozen=True)
class ImageProgress:
    """How far the images of a rollout are."""

    images: Mapping[str, str]
    """The exact image of each name that is known."""
    missing: Sequence[RequestedImage]
    """Images without a task."""
    pending: Sequence[Task]
    failed: Sequence[Task]
    unwanted: Sequence[Task]
    """Tasks that are open and that this rollout does not want."""

    @property
    def is_complete(self) -> bool:
        return not (self.missing or self.pending or self.failed)


def select_workers(workers: Collection[Worker], now: float) -> list[Worker]:
    """Those that are alive; all that are known while none is."""
    return [worker for worker in workers if worker.is_alive(now)] or list(workers)


def list_requested_images(catalog: Catalog) -> list[RequestedImage]:
    """Every image of a component or stage once, with the first credentials that are named for it."""
    by_name: dict[str, RequestedImage] = {}
    for image, resources in _list_containers(catalog):
        name, needs_gpu = image.existing_image_name, resources.gpu > 0
        if name is not None:
            earlier = by_name.get(name) or RequestedImage(name, None, needs_gpu=True)
            credentials = earlier.credentials or image.credentials
            by_name[name] = RequestedImage(name, credentials, needs_gpu=earlier.needs_gpu and needs_gpu)
    return [by_name[name] for name in sorted(by_name)]


def _list_containers(catalog: Catalog) -> Iterator[tuple[ImageSource, Resources]]:
    for _, component in sorted(catalog.components.items()):
        yield component.spec.image, component.spec.resources
    for _, pipeline in sorted(catalog.pipelines.items()):
        for stage in pipeline.spec.stages:
            yield stage.image, stage.resources


def compare_images(
    requested: Sequence[RequestedImage], resolved: Mapping[str, str], tasks: Sequence[Task]
) -> ImageProgress:
    """`resolved`: exact images that the rollout has already; `tasks`: those of kind `image` of its app."""
    current = {task.fingerprint: task for task in tasks if task.state != "stopped" and not task.stop_requested}
    images = {image.name: resolved[image.name] for image in requested if image.name in resolved}
    unresolved = {image.fingerprint: image for image in requested if image.name not in images}
    for fingerprint in unresolved.keys() & current.keys():
        result = current[fingerprint].result
        if result is not None and result.image is not None:
            images[unresolved[fingerprint].name] = result.image
    return ImageProgress(
        images=images,
        missing=[image for fingerprint, image in unresolved.items() if fingerprint not in current],
        pending=[
            current[fingerprint]
            for fingerprint in unresolved
            if fingerprint in current and current[fingerprint].is_open
        ],
        failed=[task for task in current.values() if task.fingerprint in unresolved and task.state == "failed"],
        unwanted=[task for task in tasks if task.is_open and task.fingerprint not in unresolved],
    )


def progress_line(progress: ImageProgress) -> str:
    """`pulling 1 of 2: team/app:1: 3 of 7 layers, 12 of 80 MB`."""
    number, total = len(progress.images) + 1, len(progress.images) + len(progress.pending) + len(progress.missing)
    waits = [f"{task.spec.image}: {task.detail or _why_waiting(task)}" for task in progress.pending if task.spec]
    waits += [f"{image.name}: waits for a worker" for image in progress.missing]
    return f"pulling {number} of {total}: {'; '.join(waits)}"


def _why_waiting(task: Task) -> str:
    return "waits for a worker" if task.state == "ready" else "asks the engine"


def result_line(images: Mapping[str, str]) -> str:
    """`team/app:1 is sha256:0123456789ab`."""
    return "; ".join(f"{name} is {exact.rpartition('@')[2][:SHORT_DIGEST]}" for name, exact in sorted(images.items()))


def image_error(task: Task) -> RolloutProblem:
    """The rollout error of an image that cannot be had, in the engine's words."""
    name = task.spec.image if task.spec is not None else task.name
    code, detail = (task.reason.code, task.reason.detail or "") if task.reason else ("image", "")
    message = detail if name and name in detail else f"image {name}: {detail or 'it cannot be had'}"
    return RolloutProblem(message=message, reason=code)


def pin_images(catalog: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    """The catalog with exact images in place of their names."""
    return {
        **catalog,
        "components": {
            name: {**component, "spec": _pin_container(component["spec"], images)}
            for name, component in catalog["components"].items()
        },
        "pipelines": {
            name: {**pipeline, "spec": _pin_stages(pipeline["spec"], images)}
            for name, pipeline in catalog["pipelines"].items()
        },
    }


def _pin_stages(spec: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    return {**spec, "stages": [_pin_container(stage, images) for stage in spec["stages"]]}


def _pin_container(container: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    image = container["image"]
    name = image.get("existingImageName")
    return {**container, "image": {**image, "existingImageName": images.get(name, name)}}
