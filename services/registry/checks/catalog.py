"""The whole app that a set of manifests describes, and whether it fits together.

Pure: files in, catalog and problems out. Rules within one manifest are in `libs.common.manifests`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from libs.common.manifests import (
    APIComponent,
    ConfigMap,
    DataBox,
    ExperimentPipeline,
    Manifest,
    MLComponent,
    PlatformApp,
    Problem,
    Secret,
    Unread,
    read_all,
)
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.fields import Header
from services.registry.checks.deployment_warnings import ignored
from services.registry.checks.references import misfits

__all__ = ["Catalog", "check"]

NOWHERE: Final = "manifests"  # the folder that is read by default; named when there is no file to name
Body = TypeVar("Body", bound=Header)


def check(
    files: Mapping[str, bytes],
    namespace: str | None,
    secrets: Collection[str] = (),
    *,
    processes: bool = False,
    unread: Sequence[Unread] = (),
) -> tuple[Catalog | None, list[Problem]]:
    """The catalog and the warnings, or no catalog and every error.

    `namespace` is the app's; without it (a check offline) the manifests must only agree. `secrets` are declared
    elsewhere than in these files, `unread` are documents there that could not be read. `processes`: what will run is no
    containers, without images and limits. What may be in a document that could not be read is not called missing.
    """
    found = read_all(files)
    manifests, problems = found.manifests, list(found.problems)
    if not manifests and not problems:
        problems.append(Problem(min(files, default=NOWHERE), 1, 1, "no manifest here; a revision needs at least one"))
    problems += [*repositories(manifests), *repeated(manifests), *strangers(manifests, namespace)]
    problems += [*misfits(manifests, secrets, [*found.unread, *unread]), *(ignored(manifests) if processes else ())]
    return (None if errors(problems) else catalog(manifests)), sorted(problems)


def errors(problems: list[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == "error"]


def catalog(manifests: Sequence[Manifest[Header]]) -> Catalog:
    return Catalog(
        components=of_kind(manifests, MLComponent),
        pipelines=of_kind(manifests, ExperimentPipeline),
        apis=of_kind(manifests, APIComponent),
        boxes=of_kind(manifests, DataBox),
        secrets={name: secret.spec.keys for name, secret in of_kind(manifests, Secret).items()},
        app=next(iter(of_kind(manifests, PlatformApp).values()), None),
        config_maps={name: one.data for name, one in of_kind(manifests, ConfigMap).items()},
    )


def of_kind(manifests: Sequence[Manifest[Header]], model: type[Body]) -> dict[str, Body]:
    return {manifest.name: manifest.body for manifest in manifests if isinstance(manifest.body, model)}


def repositories(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    for manifest in manifests:
        if manifest.kind == "Repository":
            sentence = "a Repository cannot be in Git: a repository cannot move itself; send it with: mlmesh apply"
            yield manifest.problem(("kind",), sentence)


def repeated(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    first: dict[tuple[str, str], Manifest[Header]] = {}
    for manifest in manifests:
        key = (manifest.kind, "" if manifest.kind == "PlatformApp" else manifest.name)
        other = first.setdefault(key, manifest)
        if other is manifest:
            continue
        where = f"{other.file}:{other.line}"
        if manifest.kind == "PlatformApp":
            yield manifest.problem(("kind",), f"a second PlatformApp; the first is at {where}, keep one of them")
        else:
            sentence = f'a second {manifest.kind} "{manifest.name}"; the first is at {where}, rename one of them'
            yield manifest.problem(("metadata", "name"), sentence)


def strangers(manifests: Sequence[Manifest[Header]], namespace: str | None) -> Iterator[Problem]:
    for manifest in manifests:
        own = manifest.body.metadata.namespace
        namespace = namespace or own
        if own is not None and own != namespace:
            sentence = f'namespace "{own}" is not this app\'s; write "{namespace}" or leave it out'
            yield manifest.problem(("metadata", "namespace"), sentence)
