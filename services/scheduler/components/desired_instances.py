"""Desired state: which component instances should exist, and the difference to those that do. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from libs.common.identity import OWNER_USER
from libs.common.locations import Location
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.configmap import ConfigMaps
from libs.common.manifests.container import list_env_sources, secret_names
from libs.common.manifests.mlcomponent import MLComponent
from libs.common.protocol.container import ContainerResources
from libs.common.protocol.instance import BatchLimits
from services.scheduler.components.replica_calculator import initial_scale
from services.scheduler.model.app import App
from services.scheduler.model.autoscaling import ScaleState, ScalingBounds
from services.scheduler.model.rollout import Rollout
from services.scheduler.model.task import StoredInstanceSpec, Task
from services.scheduler.model.worker import Worker

DRAIN_DELAY_S = 3.0
"""From the switch of the routes to the stop of an old instance: gateways update, calls in flight end."""


@dataclass(frozen=True)
class DesiredInstance:
    """One instance that should exist."""

    name: str
    replica: int
    fingerprint: str
    spec: StoredInstanceSpec
    resource_class: str

    @property
    def key(self) -> tuple[str, int, str]:
        return self.name, self.replica, self.fingerprint


def desired_instances(
    catalog: Catalog,
    commit: str,
    secrets: Mapping[str, Any],
    scales: Mapping[str, ScaleState],
    *,
    min_replicas: int = 0,
) -> list[DesiredInstance]:
    """All instances of a revision, at least `min_replicas` of each component.

    `secrets` are the versions of the app's secret values: a new version requires a new instance.
    """
    instances = []
    for name, component in sorted(catalog.components.items()):
        spec = build_instance_spec(name, component, catalog.config_maps)
        versions = {secret: secrets.get(secret) for secret in spec.secrets}
        identity = orjson.dumps([commit, spec.to_json(), versions], option=orjson.OPT_SORT_KEYS)
        fingerprint = hashlib.sha256(identity).hexdigest()[:16]
        resource_class = "gpu" if component.spec.resources.gpu else "cpu"
        bounds = ScalingBounds.from_component(component)
        scale = scales.get(name) or initial_scale(bounds)
        other_boxes = tuple(sorted(set(catalog.boxes) - set(spec.boxes)))
        full_spec = spec.model_copy(update={"commit": commit, "other_boxes": other_boxes})  # no part of the identity
        for replica in range(max(min_replicas, bounds.clamp(scale.replicas))):
            instances.append(DesiredInstance(name, replica, fingerprint, full_spec, resource_class))
    return instances


@dataclass(frozen=True)
class InstanceSet:
    """An app's instances: the existing tasks, and the desired ones (compare a Kubernetes ReplicaSet)."""

    app: App
    scales: Mapping[str, ScaleState]
    tasks: list[Task]
    workers: Sequence[Worker] = ()

    @property
    def replaced_ids(self) -> frozenset[str]:
        """Ids of instances that equal ones replace; they stop when the replacement is healthy.

        They were restarted, or their worker drains while another worker has their resource class.
        """
        specs = {task.id: task.instance_spec for task in self.tasks}
        restarting = {task_id for task_id, spec in specs.items() if spec is not None and spec.restart_requested}
        draining = {worker.name for worker in self.workers if worker.draining}
        available_classes = {
            resource_class for worker in self.workers if not worker.draining for resource_class in worker.classes
        }
        claimed = (task for task in self.tasks if task.state == "claimed" and task.worker in draining)
        return frozenset(restarting | {task.id for task in claimed if task.resource_class in available_classes})

    @cached_property
    def catalog(self) -> Catalog:
        """Of the live revision; empty without one. Parsed once: that is most of what a pass over a large one costs."""
        return Catalog.from_json(self.app.catalog or {})

    @cached_property
    def desired_live(self) -> list[DesiredInstance]:
        if self.app.catalog is None:
            return []
        return desired_instances(self.catalog, self.app.commit, self._secret_versions, self.scales)

    @property
    def outdated(self) -> list[Task]:
        """Instances with an older value of a Secret, which serve until those with the new one are healthy."""
        return select_outdated(self.desired_live, self.tasks)

    def desired_by_rollout(self, rollout: Rollout) -> list[DesiredInstance]:
        """Instances of the new revision, at least one per component: a revision that cannot start must not go live."""
        return desired_instances(
            Catalog.from_json(rollout.catalog), rollout.commit, self._secret_versions, self.scales, min_replicas=1
        )

    @property
    def _secret_versions(self) -> Mapping[str, int]:
        return self.app.access.secrets


def build_instance_spec(name: str, component: MLComponent, config_maps: ConfigMaps) -> StoredInstanceSpec:
    """The spec that identifies an instance: when it changes, a new instance replaces the old. `config_maps`: the app's.

    An optional field (`env_from`) is left out where it is empty: adding it would restart existing instances.
    """
    spec, service = component.spec, component.spec.ml_service
    instance_spec = StoredInstanceSpec(
        component=name,
        image=spec.image.existing_image_name,
        inference=service.inference,
        app=service.app,
        loader=service.loader,
        python=service.python,
        port=spec.service_port,
        env={variable.name: variable.value for variable in spec.env},
        secrets=tuple(secret_names(spec.env_from)),
        boxes=tuple(box.name for box in spec.connected_boxes),
        concurrency=service.container_concurrency,
        batching=BatchLimits.model_validate(service.batching.model_dump()) if service.batching else None,
        timeout=service.timeout,
        warmup=tuple(dict(request) for request in service.warmup),
        model=model_location(service.model_box, service.model_path),
        start_timeout=spec.start_timeout,
        resources=ContainerResources.model_validate(spec.resources.model_dump()),
        read_only_root=spec.security.read_only_root,
        egress=spec.security.egress,
        image_credentials=spec.image.credentials,
    )
    env_from = list_env_sources(spec.env_from, config_maps)
    return instance_spec.model_copy(update={"env_from": env_from}) if env_from else instance_spec


def model_location(box: str | None, path: str | None) -> Location | None:
    if box is None or path is None:
        return None
    group, _, file = path.rpartition("/")
    return Location(box=box, user=OWNER_USER, group=group, file=file or None)


def to_start(
    instances: Iterable[DesiredInstance], tasks: Iterable[Task], replaced: Container[str] = ()
) -> list[DesiredInstance]:
    """Desired instances without an open task, or whose only task is being replaced."""
    keys = {
        get_task_key(task) for task in tasks if task.is_open and not task.stop_requested and task.id not in replaced
    }
    return [instance for instance in instances if instance.key not in keys]


def to_stop(
    instances: Iterable[DesiredInstance],
    tasks: Collection[Task],
    replaced: Container[str] = (),
    outdated: Collection[Task] = (),
) -> list[Task]:
    """Open tasks that are not desired, or whose replacement is healthy, and that have no stop order yet.

    Not those that are `outdated`: they serve until their successors do.
    """
    keys = {instance.key for instance in instances}
    healthy_keys = {
        get_task_key(task) for task in tasks if task.is_healthy and not task.stop_requested and task.id not in replaced
    }
    unwanted = (
        task
        for task in tasks
        if get_task_key(task) not in keys or (task.id in replaced and get_task_key(task) in healthy_keys)
    )
    return [task for task in unwanted if task.is_open and not task.stop_requested and task not in outdated]


def select_outdated(live: Iterable[DesiredInstance], tasks: Collection[Task]) -> list[Task]:
    """Healthy instances that differ only in versions of Secrets from `live` ones that are not healthy yet.

    None with a GPU: its successor waits for that.
    """
    healthy_keys = {get_task_key(task) for task in tasks if task.is_healthy and not task.stop_requested}
    awaited = {(instance.name, instance.replica): instance for instance in live if instance.key not in healthy_keys}
    return [
        task
        for task in tasks
        if task.is_healthy
        and not task.stop_requested
        and task.resource_class != "gpu"
        and (successor := awaited.get((task.name, task.replica))) is not None
        and _has_same_spec(task, successor)
    ]


def _has_same_spec(task: Task, instance: DesiredInstance) -> bool:
    """But for what is no part of an instance's identity."""
    changing: dict[str, Any] = {"restart_requested": False, "other_boxes": ()}
    spec = task.instance_spec
    return spec is not None and spec.model_copy(update=changing) == instance.spec.model_copy(update=changing)


def matching_tasks(instances: Iterable[DesiredInstance], tasks: Iterable[Task]) -> list[Task]:
    """The open tasks of these instances."""
    keys = {instance.key for instance in instances}
    return [task for task in tasks if task.is_open and not task.stop_requested and get_task_key(task) in keys]


def get_task_key(task: Task) -> tuple[str, int, str]:
    """As `DesiredInstance.key`."""
    return task.name, task.replica, task.fingerprint
