"""Which secrets a catalog uses, and which of them lack values. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from libs.common.manifests import MLComponent
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.container import EnvFrom, ImageSource, secret_names


def list_password_secrets(catalog: Catalog) -> list[str]:
    """Secrets with user names and passwords (basic auth); the scheduler receives their verifiers."""
    basic = (api.spec.restful_api.auth.basic for api in catalog.apis.values())
    return sorted({credentials.credentials for credentials in basic if credentials is not None})


def list_used_secrets(catalog: Catalog) -> dict[str, str]:
    """Every secret that is referred to, with the first manifest that does."""
    users: dict[str, str] = {}
    for name, user in chain(_iter_api_secrets(catalog), _iter_component_secrets(catalog), _iter_stage_secrets(catalog)):
        users.setdefault(name, user)
    return dict(sorted(users.items()))


def list_missing_values(
    app: str,
    used: Mapping[str, str],
    declared: Mapping[str, tuple[str, ...]],
    present: Mapping[str, frozenset[str]],
    sources: Mapping[str, str],
) -> list[str]:
    """A sentence for every used secret that lacks values; `present` are the keys with a value.

    `sources`: by `app/secret`, where the operator says that values come from.
    """
    return [
        f"{missing}; {_advise(app, name, declared.get(name, ()), present, sources)}"
        for name, user in used.items()
        if (missing := _describe_missing(name, user, declared, present))
    ]


def _advise(
    app: str, name: str, keys: Sequence[str], present: Mapping[str, frozenset[str]], sources: Mapping[str, str]
) -> str:
    if source := sources.get(f"{app}/{name}"):
        return f"the mesh reads it from {source} on its host"
    missing = [key for key in keys if key not in present.get(name, ())] or ["KEY"]
    return f"set {'it' if len(missing) == 1 else 'them'} with: mlmesh secret set {app} {name} {shlex.join(missing)}"


def _describe_missing(
    name: str, user: str, declared: Mapping[str, tuple[str, ...]], present: Mapping[str, frozenset[str]]
) -> str | None:
    keys_set = present.get(name, frozenset())
    missing = [key for key in declared.get(name, ()) if key not in keys_set]
    if keys_set and not missing:
        return None
    lacks = f"for {', '.join(missing)}" if missing else "yet"
    return f'secret "{name}" ({user}) has no value {lacks}'


def _iter_api_secrets(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for name, api in catalog.apis.items():
        if api.spec.restful_api.auth.basic:
            yield api.spec.restful_api.auth.basic.credentials, f"APIComponent {name}"


def _iter_component_secrets(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for name, component in catalog.components.items():
        yield from _iter_container_secrets(
            component.spec.image, component.spec.env_from, f"{MLComponent.__name__} {name}"
        )


def _iter_stage_secrets(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for name, pipeline in catalog.pipelines.items():
        for stage in pipeline.spec.stages:
            yield from _iter_container_secrets(stage.image, stage.env_from, f"stage {stage.name} of {name}")


def _iter_container_secrets(image: ImageSource, sources: tuple[EnvFrom, ...], user: str) -> Iterator[tuple[str, str]]:
    yield from ((name, user) for name in secret_names(sources))
    if image.credentials:
        yield image.credentials, f"image of {user}"
    yield from ((name, f"build of {user}") for name in (image.build.secrets if image.build else ()))
