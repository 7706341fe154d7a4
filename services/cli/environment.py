"""The environment that a manifest gives a container, for commands that need no mesh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from services.cli import render

if TYPE_CHECKING:
    from libs.common.manifests import Manifest
    from libs.common.manifests.container import EnvFrom, EnvVar
    from libs.common.manifests.fields import Header


def of(
    env: Sequence[EnvVar],
    env_from: Sequence[EnvFrom],
    manifests: Sequence[Manifest[Header]],
    shell: Mapping[str, str],
    who: str,
) -> dict[str, str]:
    """`envFrom` in its order, then `env`. The values of Secrets are those of this shell; `who` lacks one is said."""
    found: dict[str, str] = {}
    for source in env_from:
        name = source.secret_ref.name
        keys = list(_keys(name, manifests))
        if not keys:
            render.note(f'{who}: Secret "{name}" names no keys here; name them in its manifest (keys)')
        for key in keys:
            if key in shell:
                found[key] = shell[key]
            else:
                render.note(f'{who}: {key} of Secret "{name}" is not set; set it in the environment of this command')
    return {**found, **{one.name: one.value for one in env}}


def _keys(secret: str, manifests: Sequence[Manifest[Header]]) -> Iterator[str]:
    from libs.common.manifests import Secret

    for manifest in manifests:
        if isinstance(manifest.body, Secret) and manifest.name == secret:
            yield from manifest.body.spec.keys
