"""Checks the manifests of an app and builds its catalog.

Pure: files in, catalog and problems out. Rules within one manifest are in `libs.common.manifests`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from libs.common.manifests import (
    APIComponent,
    ConfigMap,
    DataBox,
    ExperimentPipeline,
    InvalidManifest,
    Manifest,
    MLComponent,
    PlatformApp,
    Problem,
    Secret,
    read_files,
)
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.fields import Header
from services.registry.checks.builds import BuildContext, check_build_timeouts, check_builds
from services.registry.checks.deployment_warnings import warn_of_ignored_fields
from services.registry.checks.references import check_references

__all__ = ["Catalog", "check_manifests"]

DEFAULT_FOLDER: Final = "manifests"  # the default folder of manifests, named where no file can be
Body = TypeVar("Body", bound=Header)


def check_manifests(
    files: Mapping[str, bytes],
    namespace: str | None,
    secrets: Collection[str] = (),
    *,
    processes: bool = False,
    live: Catalog | None = None,
    unread: Sequence[InvalidManifest] = (),
    contexts: Mapping[str, BuildContext] | None = None,
) -> tuple[Catalog | None, list[Problem]]:
    """The catalog and the warnings, or no catalog and every error.

    `namespace` is the app's; without it (a check offline) the manifests must agree on one. `secrets` and `unread` come
    from applied files: declared secrets, and documents with errors. `processes`: workers run processes, so fields of
    containers have no effect; those that are in `live`, which runs now, are not warned of again. A name that a document
    with errors may declare is not reported as missing. `contexts`: the folders that images are built from; None where
    the commit is not at hand.
    """
    manifest_set = read_files(files)
    manifests, problems = manifest_set.manifests, list(manifest_set.problems)
    if not manifests and not problems:
        problems.append(
            Problem(min(files, default=DEFAULT_FOLDER), 1, 1, "no manifest here; a revision needs at least one")
        )
    problems += [*check_no_repository(manifests), *check_duplicates(manifests), *check_namespace(manifests, namespace)]
    problems += [
        *check_references(manifests, secrets, [*manifest_set.invalid, *unread]),
        *(warn_of_ignored_fields(manifests, live) if processes else ()),
        *check_build_timeouts(manifests),
        *(() if contexts is None else check_builds(manifests, contexts)),
    ]
    return (None if select_errors(problems) else build_catalog(manifests, contexts or {})), sorted(problems)


def select_errors(problems: list[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == "error"]


def build_catalog(manifests: Sequence[Manifest[Header]], contexts: Mapping[str, BuildContext]) -> Catalog:
    return Catalog(
        components=select_bodies(manifests, MLComponent),
        pipelines=select_bodies(manifests, ExperimentPipeline),
        apis=select_bodies(manifests, APIComponent),
        boxes=select_bodies(manifests, DataBox),
        secrets={name: secret.spec.keys for name, secret in select_bodies(manifests, Secret).items()},
        app=next(iter(select_bodies(manifests, PlatformApp).values()), None),
        config_maps={name: config_map.data for name, config_map in select_bodies(manifests, ConfigMap).items()},
        trees={folder: context.tree for folder, context in contexts.items()},
    )


def select_bodies(manifests: Sequence[Manifest[Header]], model: type[Body]) -> dict[str, Body]:
    return {manifest.name: manifest.body for manifest in manifests if isinstance(manifest.body, model)}


def check_no_repository(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    for manifest in manifests:
        if manifest.kind == "Repository":
            sentence = "a Repository cannot be in Git: a repository cannot move itself; send it with: mlmesh apply"
            yield manifest.problem_at(("kind",), sentence)


def check_duplicates(manifests: Sequence[Manifest[Header]]) -> Iterator[Problem]:
    first_by_key: dict[tuple[str, str], Manifest[Header]] = {}
    for manifest in manifests:
        key = (manifest.kind, "" if manifest.kind == "PlatformApp" else manifest.name)
        first = first_by_key.setdefault(key, manifest)
        if first is manifest:
            continue
        where = f"{first.file}:{first.line}"
        if manifest.kind == "PlatformApp":
            yield manifest.problem_at(("kind",), f"a second PlatformApp; the first is at {where}, keep one of them")
        else:
            sentence = f'a second {manifest.kind} "{manifest.name}"; the first is at {where}, rename one of them'
            yield manifest.problem_at(("metadata", "name"), sentence)


def check_namespace(manifests: Sequence[Manifest[Header]], namespace: str | None) -> Iterator[Problem]:
    for manifest in manifests:
        declared = manifest.body.metadata.namespace
        namespace = namespace or declared
        if declared is not None and declared != namespace:
            sentence = f'namespace "{declared}" is not this app\'s; write "{namespace}" or leave it out'
            yield manifest.problem_at(("metadata", "namespace"), sentence)
