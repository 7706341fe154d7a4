"""Warnings of a deployment: resources that it stops, and fields that process runtimes ignore. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from libs.common.manifests import ExperimentPipeline, Manifest, MLComponent, Problem
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.experimentpipeline import Stage
from libs.common.manifests.fields import Header
from libs.common.manifests.mlcomponent import MLComponentSpec
from libs.common.manifests.problems import Path

IGNORED_MESSAGE = (
    "{} not applied: this mesh runs processes, which it does not isolate; mlmesh up --runtime docker does all of it"
)
RESOURCES = ("cpu", "memory", "gpu", "shm")

MAX_STOPPED_WARNINGS = 20
"""Further ones are counted in one warning."""


def warn_of_stopped(live: Catalog, new: Catalog, folder: str) -> Iterator[Problem]:
    """One warning for each resource of `live` without a manifest in `new`; `folder` holds the manifests."""
    resources = [
        *(f"component {name}" for name in live.components if name not in new.components),
        *(f"pipeline {name}" for name in live.pipelines if name not in new.pipelines),
        *(f"API {name}" for name in live.apis if name not in new.apis),
    ]
    for resource in resources[:MAX_STOPPED_WARNINGS]:
        message = f"this deployment stops {resource}: no manifest of it is in the commit"
        yield Problem(folder, 1, 1, message, "warning")
    if len(resources) > MAX_STOPPED_WARNINGS:
        yield Problem(folder, 1, 1, f"and {len(resources) - MAX_STOPPED_WARNINGS} more are stopped", "warning")


def warn_of_sandboxed_pages(catalog: Catalog, folder: str) -> Iterator[Problem]:
    """One warning for each web application with credentials: browsers do not send them from a page of no origin."""
    for name, api in catalog.apis.items():
        component = catalog.components.get(api.spec.ml_component.name) if api.spec.ml_component else None
        if component is not None and component.spec.ml_service.app and api.spec.restful_api.auth.none is None:
            message = (
                f"the pages of {component.metadata.name} do not work in browsers: apps share one host here, so pages"
                f" are sandboxed and cannot use the password of API {name}; set MLMESH_APP_HOSTS to a domain in which"
                " each app has a host of its own"
            )
            yield Problem(folder, 1, 1, message, "warning")


@dataclass(frozen=True)
class _Container:
    """A container of a manifest, with the fields that only containers have."""

    path: Path
    stage: str | None
    values: Mapping[str, object]
    written: tuple[str, ...]
    """The names of those that are in the manifest."""


def warn_of_ignored_fields(manifests: Sequence[Manifest[Header]], live: Catalog | None = None) -> Iterator[Problem]:
    """One warning for each container with fields that only containers have; not of those that are live already."""
    for manifest in manifests:
        live_values = {container.stage: container.values for container in _list_live_containers(manifest, live)}
        for container in _iter_containers(manifest.body):
            before = live_values.get(container.stage, {})
            new = [name for name in container.written if name not in before or before[name] != container.values[name]]
            if new:
                names = f"{', '.join(new)} {'is' if len(new) == 1 else 'are'}"
                yield replace(manifest.problem_at(container.path, IGNORED_MESSAGE.format(names)), severity="warning")


def _list_live_containers(manifest: Manifest[Header], live: Catalog | None) -> list[_Container]:
    if live is None:
        return []
    bodies: Mapping[str, Header] = live.components if isinstance(manifest.body, MLComponent) else live.pipelines
    return list(_iter_containers(bodies[manifest.name])) if manifest.name in bodies else []


def _iter_containers(body: Header) -> Iterator[_Container]:
    if isinstance(body, MLComponent):
        service = body.spec.ml_service
        python = {"mlService.python": service.python}
        written = ("mlService.python",) if "python" in service.model_fields_set else ()
        yield _describe_container(("spec",), None, body.spec, python, written)
    elif isinstance(body, ExperimentPipeline):
        for index, stage in enumerate(body.spec.stages):
            yield _describe_container(("spec", "stages", index), stage.name, stage, {}, ())


def _describe_container(
    path: Path,
    stage: str | None,
    spec: MLComponentSpec | Stage,
    extra: Mapping[str, object],
    extra_written: tuple[str, ...],
) -> _Container:
    image, resources = spec.image, spec.resources
    security = spec.security if isinstance(spec, MLComponentSpec) else None
    values: dict[str, object] = {
        "image.existingImageName": image.existing_image_name,
        "image.build": image.build,
        **{f"resources.{name}": getattr(resources, name) for name in RESOURCES},
        "security.readOnlyRoot": security is not None and security.read_only_root,
    }
    written = [name for name in ("image.existingImageName", "image.build") if values[name]]
    written += [f"resources.{name}" for name in RESOURCES if name in resources.model_fields_set]
    written += ["security.readOnlyRoot"] if values["security.readOnlyRoot"] else []
    return _Container(path, stage, {**values, **extra}, (*written, *extra_written))
