"""Checks that everything a manifest refers to exists in the app. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Final

from libs.common.manifests import (
    APIComponent,
    ConfigMap,
    ExperimentPipeline,
    InvalidManifest,
    Manifest,
    MLComponent,
    Problem,
    Secret,
)
from libs.common.manifests.container import ENV_NAME, RESERVED_PREFIXES, EnvFrom, ImageSource
from libs.common.manifests.data_flow import Pipelines, follow_chain, next_pipeline_name
from libs.common.manifests.fields import Header, Reference
from libs.common.manifests.messages import closest_name
from libs.common.manifests.problems import Path
from services.registry.checks.pipeline_inputs import (
    PipelineStarts,
    check_api_spec,
    check_continue_with,
    check_schedule_inputs,
    check_unprovided_inputs,
    group_by_pipeline,
    list_starts,
    select_pipelines,
)

MAX_PROBLEMS: Final = 100
"""Reported at most; a generated file may have millions."""
SINGLETON_TARGETS: Final = ("files", "pipelines")  # targets with one address an app


@dataclass(frozen=True, slots=True)
class ManifestLookup:
    """The manifests by kind and name; None for secrets that are declared elsewhere."""

    manifests: Sequence[Manifest[Header]]
    names: Mapping[str, Mapping[str, Manifest[Header] | None]]
    unread: Collection[InvalidManifest]
    pipelines: Pipelines
    starts: PipelineStarts
    invalid_keys: Mapping[tuple[str, str], Sequence[str]]
    """Keys of Secrets and ConfigMaps that cannot be environment names."""

    def may_contain(self, kind: str, name: str) -> bool:
        """Whether a document with errors may be this manifest."""
        return any(InvalidManifest(*pair) in self.unread for pair in product((kind, None), (name, None)))

    def may_contain_any(self, *kinds: str) -> bool:
        return any(document.kind is None or document.kind in kinds for document in self.unread)

    def get_chain(self, first: str) -> Sequence[ExperimentPipeline]:
        """The pipeline and those that continue it; empty when one of them may be in a document with errors."""
        chain = follow_chain(self.pipelines, first)
        next_name = next_pipeline_name(chain[-1]) if chain else None
        return () if next_name is not None and self.may_contain("ExperimentPipeline", next_name) else chain


def check_references(
    manifests: Sequence[Manifest[Header]], secrets: Collection[str], unread: Sequence[InvalidManifest] = ()
) -> Iterator[Problem]:
    """The first MAX_PROBLEMS problems, and a note when there are more."""
    problems = _check_all_references(manifests, secrets, unread)
    yield from islice(problems, MAX_PROBLEMS)
    if (next_problem := next(problems, None)) is not None:
        yield replace(
            next_problem, message=f"{next_problem.message} (there are more of these; correct the first {MAX_PROBLEMS})"
        )


def _check_all_references(
    manifests: Sequence[Manifest[Header]], secrets: Collection[str], unread: Sequence[InvalidManifest]
) -> Iterator[Problem]:
    names: dict[str, dict[str, Manifest[Header] | None]] = {"Secret": dict.fromkeys(secrets)}
    for manifest in manifests:
        names.setdefault(manifest.kind, {})[manifest.name] = manifest
    pipelines = select_pipelines(manifests)
    lookup = ManifestLookup(
        manifests=manifests,
        names=names,
        unread=frozenset(unread),
        pipelines=pipelines,
        starts=group_by_pipeline(list_starts(manifests, pipelines)),
        invalid_keys={(manifest.kind, manifest.name): list_invalid_keys(manifest.body) for manifest in manifests},
    )
    starts_known = not lookup.may_contain_any(APIComponent.__name__, ExperimentPipeline.__name__)
    for manifest in manifests:
        if isinstance(manifest.body, MLComponent):
            yield from check_component(lookup, manifest, manifest.body)
        elif isinstance(manifest.body, ExperimentPipeline):
            yield from check_pipeline(lookup, manifest, manifest.body)
            yield from check_unprovided_inputs(lookup.starts, manifest, manifest.body) if starts_known else ()
        elif isinstance(manifest.body, APIComponent):
            yield from check_api(lookup, manifest, manifest.body)
    yield from check_addresses(manifests)


def check_exists(
    lookup: ManifestLookup, manifest: Manifest[Header], path: Path, kind: str, name: str
) -> Iterator[Problem]:
    manifests_by_name = lookup.names.get(kind, {})
    if name not in manifests_by_name and not lookup.may_contain(kind, name):
        guess = closest_name(name, tuple(manifests_by_name))
        advice = f'did you mean "{guess}"?' if guess else "add one, or correct the name"
        yield manifest.problem_at(path, f'there is no {kind} "{name}"; {advice}')


def check_boxes(
    lookup: ManifestLookup, manifest: Manifest[Header], connected: Sequence[Reference]
) -> Iterator[Problem]:
    for index, box in enumerate(connected):
        yield from check_exists(lookup, manifest, ("spec", "connectedBoxes", index, "name"), "DataBox", box.name)


def check_env_from(
    lookup: ManifestLookup, manifest: Manifest[Header], path: Path, sources: Sequence[EnvFrom]
) -> Iterator[Problem]:
    for index, source in enumerate(sources):
        field, kind = ("secretRef", "Secret") if source.secret_ref else ("configMapRef", "ConfigMap")
        reference = source.secret_ref or source.config_map_ref
        if reference is not None:
            where = (*path, "envFrom", index, field, "name")
            yield from check_exists(lookup, manifest, where, kind, reference.name)
            for key in lookup.invalid_keys.get((kind, reference.name), ()):
                sentence = f'key "{key}" of {kind} "{reference.name}" cannot be an environment name; rename the key'
                yield manifest.problem_at(where, sentence)


def check_image(
    lookup: ManifestLookup, manifest: Manifest[Header], path: Path, image: ImageSource
) -> Iterator[Problem]:
    if image.credentials:
        yield from check_exists(lookup, manifest, (*path, "credentials"), "Secret", image.credentials)
    for index, name in enumerate(image.build.secrets if image.build else ()):
        yield from check_exists(lookup, manifest, (*path, "build", "secrets", index), "Secret", name)


def list_invalid_keys(body: Header) -> list[str]:
    keys = body.spec.keys if isinstance(body, Secret) else body.data if isinstance(body, ConfigMap) else ()
    return [key for key in keys if not ENV_NAME.matches(key) or key.startswith(RESERVED_PREFIXES)]


def check_component(lookup: ManifestLookup, manifest: Manifest[Header], body: MLComponent) -> Iterator[Problem]:
    spec = body.spec
    yield from check_boxes(lookup, manifest, spec.connected_boxes)
    yield from check_env_from(lookup, manifest, ("spec",), spec.env_from)
    if spec.ml_service.model_box:
        path = ("spec", "mlService", "modelBox")
        yield from check_exists(lookup, manifest, path, "DataBox", spec.ml_service.model_box)
    yield from check_image(lookup, manifest, ("spec", "image"), spec.image)


def check_pipeline(lookup: ManifestLookup, manifest: Manifest[Header], body: ExperimentPipeline) -> Iterator[Problem]:
    yield from check_boxes(lookup, manifest, body.spec.connected_boxes)
    for index, variable in enumerate(body.spec.vars):
        if variable.mount_from:
            path = ("spec", "vars", index, "mountFrom", "box")
            yield from check_exists(lookup, manifest, path, "DataBox", variable.mount_from.box)
    for index, stage in enumerate(body.spec.stages):
        yield from check_env_from(lookup, manifest, ("spec", "stages", index), stage.env_from)
        yield from check_image(lookup, manifest, ("spec", "stages", index, "image"), stage.image)
    if next_reference := body.spec.continue_with:
        where = ("spec", "continueWith", "experimentPipeline", "name")
        yield from check_exists(lookup, manifest, where, "ExperimentPipeline", next_reference.experiment_pipeline.name)
    yield from check_continue_with(lookup.pipelines, manifest, body)
    yield from check_schedule_inputs(lookup.get_chain(manifest.name), manifest, body)


def check_api(lookup: ManifestLookup, manifest: Manifest[Header], body: APIComponent) -> Iterator[Problem]:
    spec = body.spec
    if spec.ml_component:
        path: Path = ("spec", "mlComponent", "name")
        yield from check_exists(lookup, manifest, path, "MLComponent", spec.ml_component.name)
    if spec.experiment_pipeline:
        path = ("spec", "experimentPipeline", "name")
        yield from check_exists(lookup, manifest, path, "ExperimentPipeline", spec.experiment_pipeline.name)
        chain = lookup.get_chain(spec.experiment_pipeline.name)
        if chain and spec.api_spec:
            yield from check_api_spec(manifest, spec.api_spec, chain)
    if spec.restful_api.auth.basic:
        path = ("spec", "restfulApi", "auth", "basic", "credentials")
        yield from check_exists(lookup, manifest, path, "Secret", spec.restful_api.auth.basic.credentials)


def check_addresses(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    """APIComponents that share an address."""
    first_by_address: dict[str, Manifest[Header]] = {}
    for manifest in manifests:
        if not isinstance(manifest.body, APIComponent):
            continue
        address, path = get_address(manifest.body)
        first = first_by_address.setdefault(address, manifest)
        if first is not manifest:
            where = f'APIComponent "{first.name}" ({first.file}:{first.line})'
            yield manifest.problem_at(path, f"{address} is published by {where} already; change or remove one of them")


def get_address(api: APIComponent) -> tuple[str, Path]:
    for target in SINGLETON_TARGETS:
        if getattr(api.spec, target) is not None:
            return f'"{target}"', ("spec", target)
    return f'path "{api.spec.restful_api.path}"', ("spec", "restfulApi", "path")
