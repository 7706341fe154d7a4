"""Builds a container's environment from its manifest, for commands that need no mesh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from services.cli import render
from services.cli.cli_errors import Failure

if TYPE_CHECKING:
    from libs.common.manifests import Manifest
    from libs.common.manifests.configmap import ConfigMaps
    from libs.common.manifests.container import EnvFrom, EnvVar
    from libs.common.manifests.fields import Header


def build_environment(
    env: Sequence[EnvVar],
    env_from: Sequence[EnvFrom],
    manifests: Sequence[Manifest[Header]],
    shell: Mapping[str, str],
    owner: str,
) -> dict[str, str]:
    """`envFrom` in its order, then `env`. Values of Secrets come from `shell`; notes which are missing for `owner`."""
    from libs.common.manifests import ConfigMap

    config_maps = {item.name: item.body.data for item in manifests if isinstance(item.body, ConfigMap)}
    values: dict[str, str] = {}
    for source in env_from:
        if source.config_map_ref:
            values |= _config_map_values(source.config_map_ref.name, config_maps)
        elif source.secret_ref:
            values.update(_secret_values(source.secret_ref.name, manifests, shell, owner))
    return {**values, **{item.name: item.value for item in env}}


def _config_map_values(name: str, config_maps: ConfigMaps) -> Mapping[str, str]:
    if name not in config_maps:
        raise Failure(f"there is no ConfigMap {name!r}; there are {', '.join(sorted(config_maps)) or 'none'}")
    return config_maps[name]


def _secret_values(
    secret: str, manifests: Sequence[Manifest[Header]], shell: Mapping[str, str], owner: str
) -> Iterator[tuple[str, str]]:
    keys = list(_secret_keys(secret, manifests))
    if not keys:
        render.write_note(f'{owner}: Secret "{secret}" names no keys here; name them in its manifest (keys)')
    for key in keys:
        if key in shell:
            yield key, shell[key]
        else:
            render.write_note(
                f'{owner}: {key} of Secret "{secret}" is not set; set it in the environment of this command'
            )


def _secret_keys(secret: str, manifests: Sequence[Manifest[Header]]) -> Iterator[str]:
    from libs.common.manifests import Secret

    for manifest in manifests:
        if isinstance(manifest.body, Secret) and manifest.name == secret:
            yield from manifest.body.spec.keys
