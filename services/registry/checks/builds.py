"""Checks that the images of manifests can be built from the folders of the commit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from libs.common import dockerfile
from libs.common.dockerfile import Recipe, UnwritableDockerfile
from libs.common.manifests import ExperimentPipeline, Manifest, MLComponent, Problem
from libs.common.manifests.build import Build
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.container import ImageSource, Resources
from libs.common.manifests.fields import Header
from libs.common.manifests.problems import Path
from libs.common.python_packages import InvalidProject

MAX_TIMEOUT_S = 6 * 3600.0
"""Of a build: it holds one of the two places of its worker. Not in the schema, which has no order of durations."""


@dataclass(frozen=True)
class BuildContext:
    """A folder of a commit from which images are built."""

    tree: str
    """Git's id of the folder: equal ones have equal content."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Its files by path; those in `dockerfile.READ_FILES` with content."""


def list_builds(catalog: Catalog) -> list[Build]:
    components = [component.spec.image for component in catalog.components.values()]
    stages = [stage.image for pipeline in catalog.pipelines.values() for stage in pipeline.spec.stages]
    return [image.build for image in (*components, *stages) if image.build is not None]


def check_builds(manifests: Sequence[Manifest[Header]], contexts: Mapping[str, BuildContext]) -> Iterator[Problem]:
    """`contexts`: the folders that exist in the commit."""
    for manifest in manifests:
        for path, image, resources in _iter_images(manifest.body):
            if image.build is not None:
                where = (*path, "image", "build")
                yield from _check_build(manifest, where, image.build, contexts.get(image.build.context), resources)


def check_build_timeouts(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    for manifest in manifests:
        for path, image, _resources in _iter_images(manifest.body):
            if image.build is not None and image.build.timeout > MAX_TIMEOUT_S:
                sentence = f'"timeout" of a build must be at most {MAX_TIMEOUT_S / 3600:.0f}h'
                yield manifest.problem_at((*path, "image", "build", "timeout"), sentence)


def _iter_images(body: Header) -> Iterator[tuple[Path, ImageSource, Resources]]:
    if isinstance(body, MLComponent):
        yield ("spec",), body.spec.image, body.spec.resources
    elif isinstance(body, ExperimentPipeline):
        for index, stage in enumerate(body.spec.stages):
            yield ("spec", "stages", index), stage.image, stage.resources


def _check_build(
    manifest: Manifest[Header], where: Path, build: Build, context: BuildContext | None, resources: Resources
) -> Iterator[Problem]:
    if context is None:
        sentence = f'there is no folder "{build.context}" in the repository; name one, from its root'
        yield manifest.problem_at((*where, "context"), sentence)
    elif build.dockerfile is not None:
        if build.dockerfile not in context.files:
            sentence = f'there is no file "{build.dockerfile}" in the folder "{build.context}"; correct the name'
            yield manifest.problem_at((*where, "dockerfile"), sentence)
    elif dockerfile.DOCKERFILE in context.files:
        for name in ("base", "packages"):
            if getattr(build, name):
                sentence = f'"{name}" has no effect: the folder "{build.context}" has a Dockerfile; say it there'
                yield manifest.problem_at((*where, name), sentence)
    else:
        yield from _check_written(manifest, where, build, context, resources)


def _check_written(
    manifest: Manifest[Header], where: Path, build: Build, context: BuildContext, resources: Resources
) -> Iterator[Problem]:
    try:
        dockerfile.write_dockerfile(context.files, Recipe(build.base or "", build.packages))
    except (UnwritableDockerfile, InvalidProject) as error:
        yield manifest.problem_at(where, str(error))
        return
    if dockerfile.installs_cuda(context.files) and not resources.gpu:
        yield replace(manifest.problem_at(where, dockerfile.CUDA_WARNING), severity="warning")
