"""Which secrets a catalog uses, and which of them wait for values. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from itertools import chain

from libs.common.manifests import MLComponent
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.container import EnvFrom, ImageSource, secrets_of


def passwords(catalog: Catalog) -> list[str]:
    """Secrets that hold user names and passwords: their verifiers go to the scheduler."""
    basic = (api.spec.restful_api.auth.basic for api in catalog.apis.values())
    return sorted({one.credentials for one in basic if one is not None})


def used(catalog: Catalog) -> dict[str, str]:
    """Every secret that something names, and the first thing that does."""
    found: dict[str, str] = {}
    for name, user in chain(_by_apis(catalog), _by_components(catalog), _by_stages(catalog)):
        found.setdefault(name, user)
    return dict(sorted(found.items()))


def waiting(
    app: str, uses: Mapping[str, str], declared: Mapping[str, tuple[str, ...]], present: Mapping[str, frozenset[str]]
) -> list[str]:
    """A sentence for every used secret without all of its values; `present` are the keys that have one."""
    return [sentence for name, user in uses.items() if (sentence := _missing(app, name, user, declared, present))]


def _missing(
    app: str, name: str, user: str, declared: Mapping[str, tuple[str, ...]], present: Mapping[str, frozenset[str]]
) -> str | None:
    have = present.get(name, frozenset())
    missing = [key for key in declared.get(name, ()) if key not in have]
    if have and not missing:
        return None
    lacks = f"for {', '.join(missing)}" if missing else "yet"
    key = shlex.quote(missing[0]) if missing else "KEY"
    return f'secret "{name}" ({user}) has no value {lacks}; set it with: mlmesh secret set {app} {name} {key}'


def _by_apis(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for name, api in catalog.apis.items():
        if api.spec.restful_api.auth.basic:
            yield api.spec.restful_api.auth.basic.credentials, f"APIComponent {name}"


def _by_components(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for name, component in catalog.components.items():
        yield from _by_container(component.spec.image, component.spec.env_from, f"{MLComponent.__name__} {name}")


def _by_stages(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for name, pipeline in catalog.pipelines.items():
        for stage in pipeline.spec.stages:
            yield from _by_container(stage.image, stage.env_from, f"stage {stage.name} of {name}")


def _by_container(image: ImageSource, sources: tuple[EnvFrom, ...], user: str) -> Iterator[tuple[str, str]]:
    yield from ((name, user) for name in secrets_of(sources))
    if image.credentials:
        yield image.credentials, f"image of {user}"
