"""Warnings of a deployment: resources that it stops, and fields that process runtimes ignore. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from libs.common.manifests import ExperimentPipeline, Manifest, MLComponent, Problem
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.container import ImageSource, Resources, Security
from libs.common.manifests.fields import Header
from libs.common.manifests.problems import Path

IGNORED_MESSAGE = (
    "{} not applied: this mesh runs processes, which it does not isolate; mlmesh up --runtime docker does all of it"
)

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


def warn_of_ignored_fields(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    """One warning for each container with fields that only containers have."""
    for manifest in manifests:
        for path, written in _iter_containers(manifest.body):
            if written:
                names = f"{', '.join(written)} {'is' if len(written) == 1 else 'are'}"
                yield replace(manifest.problem_at(path, IGNORED_MESSAGE.format(names)), severity="warning")


def _iter_containers(body: Header) -> Iterator[tuple[Path, list[str]]]:
    """The path of each container in the manifest, and the container-only fields that are set there."""
    if isinstance(body, MLComponent):
        spec = body.spec
        python = ["mlService.python"] if "python" in spec.ml_service.model_fields_set else []
        yield ("spec",), [*_list_container_fields(spec.image, spec.resources, spec.security), *python]
    elif isinstance(body, ExperimentPipeline):
        for index, stage in enumerate(body.spec.stages):
            yield ("spec", "stages", index), _list_container_fields(stage.image, stage.resources, None)


def _list_container_fields(image: ImageSource, resources: Resources, security: Security | None) -> list[str]:
    names = ["image.existingImageName"] if image.existing_image_name else []
    names += ["image.build"] if image.build else []
    names += [f"resources.{name}" for name in ("cpu", "memory", "gpu", "shm") if name in resources.model_fields_set]
    return names + (["security.readOnlyRoot"] if security and security.read_only_root else [])
