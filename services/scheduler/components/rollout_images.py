"""Images of a rollout: which exact image each name or build means, asked of workers before instances start. Pure.

A worker with a Docker Engine answers `name@sha256:…`, or the image's id where no registry has it. The catalog of the
rollout then names exact images, so that instances, stages and rollbacks of a deployment run the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from libs.common.manifests.catalog import Catalog
from libs.common.manifests.container import ImageSource, Resources
from libs.common.protocol.build import BuildSpec
from libs.common.protocol.deployment import RolloutProblem
from libs.common.protocol.image import ImageSpec
from services.scheduler.components.image_builds import BuildPlan, merge_builds
from services.scheduler.model.built_image import BuiltImage
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker
from services.scheduler.plans import planner

MAX_NAME = 63
MAX_OPEN_BUILDS = 20
"""Of one app: others wait for their workers, too."""
SHORT_DIGEST = len("sha256:") + 12


@dataclass(frozen=True)
class RequestedImage:
    """An image that manifests name, or that is built for them."""

    name: str
    """As manifests write it; of a build: its key."""
    credentials: str | None
    needs_gpu: bool
    """It is pulled or built where there is a GPU: all that run it want one, or some that run what is built."""
    build: BuildSpec | None = None
    users: tuple[str, ...] = ()
    """The components and stages that run what is built."""

    @property
    def kind(self) -> Literal["image", "build"]:
        return "image" if self.build is None else "build"

    @property
    def title(self) -> str:
        return self.name if self.build is None else self.build.title

    @property
    def spec(self) -> ImageSpec | BuildSpec:
        return self.build or ImageSpec(image=self.name, image_credentials=self.credentials)

    @property
    def fingerprint(self) -> str:
        if self.build is not None:
            return self.name
        return hashlib.sha256(orjson.dumps([self.name, self.credentials])).hexdigest()[:16]

    @property
    def task_name(self) -> str:
        return self.title.rpartition("/")[2][:MAX_NAME]

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


def list_requested_images(catalog: Catalog, plan: BuildPlan) -> list[RequestedImage]:
    """Every image of a component or stage once, with the first credentials that are named for it."""
    by_name: dict[str, RequestedImage] = {}
    for user, image, resources in _list_containers(catalog):
        name, needs_gpu = plan.get_name(image), resources.gpu > 0
        if name is not None and image.build is not None:
            by_name[name] = _add_user(by_name.get(name), plan.build_spec(image.build, user), user, needs_gpu=needs_gpu)
        elif name is not None:
            earlier = by_name.get(name) or RequestedImage(name, None, needs_gpu=True)
            credentials = earlier.credentials or image.credentials
            by_name[name] = RequestedImage(name, credentials, needs_gpu=earlier.needs_gpu and needs_gpu)
    return [by_name[name] for name in sorted(by_name)]


def _add_user(earlier: RequestedImage | None, build: BuildSpec, user: str, *, needs_gpu: bool) -> RequestedImage:
    if earlier is None or earlier.build is None:
        return RequestedImage(build.key, None, needs_gpu, build, (user,))
    merged = merge_builds(earlier.build, build)
    return replace(earlier, build=merged, needs_gpu=earlier.needs_gpu or needs_gpu, users=(*earlier.users, user))


def _list_containers(catalog: Catalog) -> Iterator[tuple[str, ImageSource, Resources]]:
    for name, component in sorted(catalog.components.items()):
        yield name, component.spec.image, component.spec.resources
    for name, pipeline in sorted(catalog.pipelines.items()):
        for stage in pipeline.spec.stages:
            yield f"{name}.{stage.name}", stage.image, stage.resources


def compare_images(
    requested: Sequence[RequestedImage], resolved: Mapping[str, str], tasks: Sequence[Task]
) -> ImageProgress:
    """`resolved`: exact images that are known already; `tasks`: those of kind `image` and `build` of its app."""
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


def select_next(progress: ImageProgress) -> list[RequestedImage]:
    """The images that get a task now: all that are pulled, and as many builds as one app may have open."""
    free = max(0, MAX_OPEN_BUILDS - sum(task.kind == "build" for task in progress.pending))
    builds = [image for image in progress.missing if image.kind == "build"]
    return [image for image in progress.missing if image.kind == "image"] + builds[:free]


def progress_line(progress: ImageProgress) -> str:
    """`pulling 1 of 2: team/app:1: 3 of 7 layers, 12 of 80 MB`, or `building 1 of 1: digits: …`."""
    number, total = len(progress.images) + 1, len(progress.images) + len(progress.pending) + len(progress.missing)
    waits = [f"{_task_title(task)}: {task.detail or _why_waiting(task)}" for task in progress.pending]
    waits += [f"{image.title}: waits for a worker" for image in progress.missing]
    kinds = {task.kind for task in progress.pending} | {image.kind for image in progress.missing}
    return f"{'building' if 'build' in kinds else 'pulling'} {number} of {total}: {'; '.join(waits)}"


def _task_title(task: Task) -> str:
    if isinstance(task.spec, BuildSpec):
        return task.spec.title
    return task.spec.image if isinstance(task.spec, ImageSpec) else task.name


def _why_waiting(task: Task) -> str:
    if task.state == "ready":
        return "waits for a worker"
    return "asks the engine" if task.kind == "image" else "begins"


def result_line(images: Mapping[str, str], requested: Sequence[RequestedImage] = ()) -> str:
    """`team/app:1 is sha256:0123456789ab`."""
    titles = {image.name: ", ".join(image.users) or image.title for image in requested}
    lines = (f"{titles.get(name, name)} is {exact.rpartition('@')[2][:SHORT_DIGEST]}" for name, exact in images.items())
    return "; ".join(sorted(lines))


def find_logs(
    requested: Sequence[RequestedImage], tasks: Sequence[Task], built: Sequence[BuiltImage]
) -> dict[str, str]:
    """The log of the build of each component and stage whose build has begun."""
    logs = {image.key: image.log for image in built if image.log}
    logs |= {task.fingerprint: planner.build_log_name(task) for task in tasks if task.kind == "build" and task.attempt}
    return {user: logs[image.name] for image in requested for user in image.users if image.name in logs}


def image_error(task: Task) -> RolloutProblem:
    """The rollout error of an image that cannot be had, in the engine's words."""
    if isinstance(task.spec, BuildSpec):
        return _build_error(task, task.spec)
    name = _task_title(task)
    code, detail = (task.reason.code, task.reason.detail or "") if task.reason else ("image", "")
    message = detail if name and name in detail else f"image {name}: {detail or 'it cannot be had'}"
    return RolloutProblem(message=message, reason=code)


def _build_error(task: Task, spec: BuildSpec) -> RolloutProblem:
    detail = (task.reason.detail if task.reason else None) or "it failed"
    return RolloutProblem(
        message=f"build of {spec.title}: {detail}",
        reason=task.reason.code if task.reason else "build",
        log_tail=tuple(task.log_tail or ()),
    )


def pin_images(catalog: Mapping[str, Any], images: Mapping[str, str], plan: BuildPlan) -> dict[str, Any]:
    """The catalog with exact images in place of their names and builds."""

    def pin(container: Mapping[str, Any]) -> dict[str, Any]:
        image = container["image"]
        name = plan.get_name(ImageSource.model_validate(image))
        if name is None or name not in images:
            return {**container}
        return {**container, "image": {**image, "existingImageName": images[name], "build": None}}

    return {
        **catalog,
        "components": {
            name: {**component, "spec": pin(component["spec"])} for name, component in catalog["components"].items()
        },
        "pipelines": {
            name: {**pipeline, "spec": {**pipeline["spec"], "stages": [*map(pin, pipeline["spec"]["stages"])]}}
            for name, pipeline in catalog["pipelines"].items()
        },
    }
