"""Rules between the manifests of an app: what they name exists.

Pure, as the catalog that calls it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Final

from libs.common.manifests import (
    APIComponent,
    ConfigMap,
    ExperimentPipeline,
    Manifest,
    MLComponent,
    Problem,
    Secret,
    Unread,
)
from libs.common.manifests.container import ENVIRONMENT, RESERVED, EnvFrom
from libs.common.manifests.data_flow import Pipelines, follower, following
from libs.common.manifests.fields import Header, Reference
from libs.common.manifests.messages import alike
from libs.common.manifests.problems import Path
from services.registry.checks.pipeline_inputs import (
    Starters,
    by_pipeline,
    continued,
    interface,
    pipelines,
    scheduled,
    starters,
    unproduced,
)

MAX_MISFITS: Final = 100
"""Nobody reads more of them, and there may be millions."""
ALONE: Final = ("files", "pipelines")  # targets with one address in the whole app


@dataclass(frozen=True, slots=True)
class App:
    """The manifests by kind and name; secrets that are declared elsewhere have no known keys."""

    manifests: Sequence[Manifest[Header]]
    names: Mapping[str, Mapping[str, Manifest[Header] | None]]
    unread: Collection[Unread]
    pipelines: Pipelines
    starters: Starters
    unfit: Mapping[tuple[str, str], Sequence[str]]
    """Keys of Secrets and ConfigMaps that cannot be environment names."""

    def may_have(self, kind: str, name: str) -> bool:
        """Whether a document that could not be read may be it."""
        return any(Unread(*one) in self.unread for one in product((kind, None), (name, None)))

    def may_have_any(self, *kinds: str) -> bool:
        return any(one.kind is None or one.kind in kinds for one in self.unread)

    def chain(self, first: str) -> Sequence[ExperimentPipeline]:
        """The pipeline and those that continue it; nothing when one of them could not be read."""
        chain = following(self.pipelines, first)
        after = follower(chain[-1]) if chain else None
        return () if after is not None and self.may_have("ExperimentPipeline", after) else chain


def misfits(
    manifests: Sequence[Manifest[Header]], secrets: Collection[str], unread: Sequence[Unread] = ()
) -> Iterator[Problem]:
    """The first of them, and that there are more."""
    found = _all_misfits(manifests, secrets, unread)
    yield from islice(found, MAX_MISFITS)
    if (other := next(found, None)) is not None:
        yield replace(other, message=f"{other.message} (there are more of these; correct the first {MAX_MISFITS})")


def _all_misfits(
    manifests: Sequence[Manifest[Header]], secrets: Collection[str], unread: Sequence[Unread]
) -> Iterator[Problem]:
    names: dict[str, dict[str, Manifest[Header] | None]] = {"Secret": dict.fromkeys(secrets)}
    for manifest in manifests:
        names.setdefault(manifest.kind, {})[manifest.name] = manifest
    known, unfit = pipelines(manifests), {(one.kind, one.name): unfit_keys(one.body) for one in manifests}
    app = App(manifests, names, frozenset(unread), known, by_pipeline(starters(manifests, known)), unfit)
    givers_known = not app.may_have_any(APIComponent.__name__, ExperimentPipeline.__name__)
    for manifest in manifests:
        if isinstance(manifest.body, MLComponent):
            yield from of_component(app, manifest, manifest.body)
        elif isinstance(manifest.body, ExperimentPipeline):
            yield from of_pipeline(app, manifest, manifest.body)
            yield from unproduced(app.starters, manifest, manifest.body) if givers_known else ()
        elif isinstance(manifest.body, APIComponent):
            yield from of_api(app, manifest, manifest.body)
    yield from addresses(manifests)


def existing(app: App, manifest: Manifest[Header], path: Path, kind: str, name: str) -> Iterator[Problem]:
    known = app.names.get(kind, {})
    if name not in known and not app.may_have(kind, name):
        guess = alike(name, tuple(known))
        advice = f'did you mean "{guess}"?' if guess else "add one, or correct the name"
        yield manifest.problem(path, f'there is no {kind} "{name}"; {advice}')


def boxes(app: App, manifest: Manifest[Header], connected: Sequence[Reference]) -> Iterator[Problem]:
    for index, box in enumerate(connected):
        yield from existing(app, manifest, ("spec", "connectedBoxes", index, "name"), "DataBox", box.name)


def env_from(app: App, manifest: Manifest[Header], path: Path, sources: Sequence[EnvFrom]) -> Iterator[Problem]:
    for index, source in enumerate(sources):
        field, kind = ("secretRef", "Secret") if source.secret_ref else ("configMapRef", "ConfigMap")
        reference = source.secret_ref or source.config_map_ref
        if reference is not None:
            where = (*path, "envFrom", index, field, "name")
            yield from existing(app, manifest, where, kind, reference.name)
            for key in app.unfit.get((kind, reference.name), ()):
                sentence = f'key "{key}" of {kind} "{reference.name}" cannot be an environment name; rename the key'
                yield manifest.problem(where, sentence)


def unfit_keys(body: Header) -> list[str]:
    keys = body.spec.keys if isinstance(body, Secret) else body.data if isinstance(body, ConfigMap) else ()
    return [key for key in keys if not ENVIRONMENT.fits(key) or key.startswith(RESERVED)]


def of_component(app: App, manifest: Manifest[Header], body: MLComponent) -> Iterator[Problem]:
    spec = body.spec
    yield from boxes(app, manifest, spec.connected_boxes)
    yield from env_from(app, manifest, ("spec",), spec.env_from)
    if spec.ml_service.model_box:
        path = ("spec", "mlService", "modelBox")
        yield from existing(app, manifest, path, "DataBox", spec.ml_service.model_box)
    if spec.image.credentials:
        yield from existing(app, manifest, ("spec", "image", "credentials"), "Secret", spec.image.credentials)


def of_pipeline(app: App, manifest: Manifest[Header], body: ExperimentPipeline) -> Iterator[Problem]:
    yield from boxes(app, manifest, body.spec.connected_boxes)
    for index, variable in enumerate(body.spec.vars):
        if variable.mount_from:
            path = ("spec", "vars", index, "mountFrom", "box")
            yield from existing(app, manifest, path, "DataBox", variable.mount_from.box)
    for index, stage in enumerate(body.spec.stages):
        yield from env_from(app, manifest, ("spec", "stages", index), stage.env_from)
        if stage.image.credentials:
            path = ("spec", "stages", index, "image", "credentials")
            yield from existing(app, manifest, path, "Secret", stage.image.credentials)
    if after := body.spec.continue_with:
        where = ("spec", "continueWith", "experimentPipeline", "name")
        yield from existing(app, manifest, where, "ExperimentPipeline", after.experiment_pipeline.name)
    yield from continued(app.pipelines, manifest, body)
    yield from scheduled(app.chain(manifest.name), manifest, body)


def of_api(app: App, manifest: Manifest[Header], body: APIComponent) -> Iterator[Problem]:
    spec = body.spec
    if spec.ml_component:
        path: Path = ("spec", "mlComponent", "name")
        yield from existing(app, manifest, path, "MLComponent", spec.ml_component.name)
    if spec.experiment_pipeline:
        path = ("spec", "experimentPipeline", "name")
        yield from existing(app, manifest, path, "ExperimentPipeline", spec.experiment_pipeline.name)
        chain = app.chain(spec.experiment_pipeline.name)
        if chain and spec.api_spec:
            yield from interface(manifest, spec.api_spec, chain)
    if spec.restful_api.auth.basic:
        path = ("spec", "restfulApi", "auth", "basic", "credentials")
        yield from existing(app, manifest, path, "Secret", spec.restful_api.auth.basic.credentials)


def addresses(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    """Two APIComponents at one address."""
    first: dict[str, Manifest[Header]] = {}
    for manifest in manifests:
        if not isinstance(manifest.body, APIComponent):
            continue
        address, path = address_of(manifest.body)
        other = first.setdefault(address, manifest)
        if other is not manifest:
            where = f'APIComponent "{other.name}" ({other.file}:{other.line})'
            yield manifest.problem(path, f"{address} is published by {where} already; change or remove one of them")


def address_of(api: APIComponent) -> tuple[str, Path]:
    for target in ALONE:
        if getattr(api.spec, target) is not None:
            return f'"{target}"', ("spec", target)
    return f'path "{api.spec.restful_api.path}"', ("spec", "restfulApi", "path")
