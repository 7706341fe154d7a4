"""Builds of a rollout: which images are built from the repository, and by which key they are known again. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from libs.common.manifests.build import Build
from libs.common.manifests.container import ImageSource
from libs.common.protocol.build import BuildSpec
from services.scheduler.model.built_image import BuiltImage

RECIPE = 1
"""Grows when the Dockerfiles that workers write change, so that images are built again."""
KEY_LENGTH = 32
NO_TREE = ""


@dataclass(frozen=True)
class BuildSettings:
    """What the mesh says about builds."""

    base: str
    """The image that written Dockerfiles begin with where a manifest names none."""
    images: str | None = None
    """Where in an image registry images are pushed to."""

    def get_repository(self, app: str, key: str) -> str | None:
        return f"{self.images}/{app}/{key}" if self.images else None


@dataclass(frozen=True)
class BuildPlan:
    """The builds of one revision: `trees` has Git's id of each folder."""

    app: str
    commit: str
    trees: Mapping[str, str]
    settings: BuildSettings

    def get_name(self, image: ImageSource) -> str | None:
        """The name of an image as the rollout knows it: the manifest's, or the key of its build."""
        return image.existing_image_name if image.build is None else self.get_key(image.build)

    def get_key(self, build: Build) -> str:
        tree = self.trees.get(build.context, NO_TREE)
        base = build.base or self.settings.base
        parts = [RECIPE, tree, build.dockerfile, base, build.packages, dict(build.args), build.secrets, build.network]
        document = orjson.dumps([*parts, self.settings.images], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(document).hexdigest()[:KEY_LENGTH]

    def build_spec(self, build: Build, title: str) -> BuildSpec:
        key = self.get_key(build)
        return BuildSpec(
            key=key,
            title=title,
            commit=self.commit,
            context=build.context,
            dockerfile=build.dockerfile,
            base=build.base or self.settings.base,
            packages=build.packages,
            args=dict(build.args),
            secrets=build.secrets,
            timeout=build.timeout,
            network=build.network,
            repository=self.settings.get_repository(self.app, key),
        )


def choose_built(
    stored: Sequence[BuiltImage], engines: frozenset[str], preferred: Mapping[str, str]
) -> list[BuiltImage]:
    """One image for each key that some worker can run; `preferred` are the images of a deployment that is repeated."""
    chosen: dict[str, BuiltImage] = {}
    for built in stored:
        is_usable = not built.engine or built.engine in engines
        if is_usable and (built.key not in chosen or built.image == preferred.get(built.key)):
            chosen[built.key] = built
    return list(chosen.values())


def merge_builds(first: BuildSpec, other: BuildSpec) -> BuildSpec:
    """The build of two that have the same key."""
    return first.model_copy(update={"timeout": max(first.timeout, other.timeout)})
