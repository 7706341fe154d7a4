"""What a deployment warns of: what it stops, and what of the manifests a mesh that runs processes does not do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from libs.common.manifests import ExperimentPipeline, Manifest, MLComponent, Problem
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.container import ImageSource, Resources, Security
from libs.common.manifests.fields import Header
from libs.common.manifests.problems import Path

SENTENCE = (
    "{} not applied: this mesh runs processes, which it does not isolate; mlmesh up --runtime docker does all of it"
)

MAX_STOPPED = 20
"""Warnings of one deployment about what it stops."""


def stopped(live: Catalog, new: Catalog, folder: str) -> Iterator[Problem]:
    """One warning for each thing of `live` that has no manifest any more; `folder` is where manifests are read."""
    gone = [
        *(f"component {name}" for name in live.components if name not in new.components),
        *(f"pipeline {name}" for name in live.pipelines if name not in new.pipelines),
        *(f"API {name}" for name in live.apis if name not in new.apis),
    ]
    for one in gone[:MAX_STOPPED]:
        said = f"this deployment stops {one}: no manifest of it is in the commit"
        yield Problem(folder, 1, 1, said, "warning")
    if len(gone) > MAX_STOPPED:
        yield Problem(folder, 1, 1, f"and {len(gone) - MAX_STOPPED} more are stopped", "warning")


def ignored(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    """One warning for each container that a manifest describes."""
    for manifest in manifests:
        for path, written in _containers(manifest.body):
            if written:
                names = f"{', '.join(written)} {'is' if len(written) == 1 else 'are'}"
                yield replace(manifest.problem(path, SENTENCE.format(names)), severity="warning")


def _containers(body: Header) -> Iterator[tuple[Path, list[str]]]:
    """Where each is described, and its fields that only containers have, as far as they are written."""
    if isinstance(body, MLComponent):
        spec = body.spec
        python = ["mlService.python"] if "python" in spec.ml_service.model_fields_set else []
        yield ("spec",), [*_written(spec.image, spec.resources, spec.security), *python]
    elif isinstance(body, ExperimentPipeline):
        for index, stage in enumerate(body.spec.stages):
            yield ("spec", "stages", index), _written(stage.image, stage.resources, None)


def _written(image: ImageSource, resources: Resources, security: Security | None) -> list[str]:
    names = ["image.existingImageName"] if image.existing_image_name else []
    names += [f"resources.{name}" for name in ("cpu", "memory", "gpu", "shm") if name in resources.model_fields_set]
    return names + (["security.readOnlyRoot"] if security and security.read_only_root else [])
