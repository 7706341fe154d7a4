"""The catalog of an app: its manifests by name. The registry creates it, the scheduler reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict, TypeVar

from libs.common.manifests.apicomponent import APIComponent
from libs.common.manifests.configmap import ConfigMaps
from libs.common.manifests.databox import DataBox
from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.manifests.fields import Header
from libs.common.manifests.mlcomponent import MLComponent
from libs.common.manifests.platformapp import PlatformApp

Body = TypeVar("Body", bound=Header)


class CatalogJson(TypedDict):
    """A catalog as it is stored and sent: manifests by name."""

    components: dict[str, object]
    pipelines: dict[str, object]
    apis: dict[str, object]
    boxes: dict[str, object]
    secrets: dict[str, list[str]]
    config_maps: dict[str, dict[str, str]]
    trees: NotRequired[dict[str, str]]
    app: object


@dataclass(frozen=True, slots=True)
class Catalog:
    """The parts of an app by name; `secrets` has the keys of each declared Secret, `config_maps` has values."""

    components: Mapping[str, MLComponent]
    pipelines: Mapping[str, ExperimentPipeline]
    apis: Mapping[str, APIComponent]
    boxes: Mapping[str, DataBox]
    secrets: Mapping[str, tuple[str, ...]]
    app: PlatformApp | None = None
    config_maps: ConfigMaps = field(default_factory=dict)
    trees: Mapping[str, str] = field(default_factory=dict)
    """Git's id of each folder that images are built from."""

    def to_json(self) -> CatalogJson:
        document: CatalogJson = {
            "components": dump_manifests(self.components),
            "pipelines": dump_manifests(self.pipelines),
            "apis": dump_manifests(self.apis),
            "boxes": dump_manifests(self.boxes),
            "secrets": {name: list(keys) for name, keys in self.secrets.items()},
            "config_maps": {name: dict(values) for name, values in self.config_maps.items()},
            "app": self.app and self.app.model_dump(mode="json", by_alias=True),
        }
        return {**document, "trees": dict(self.trees)} if self.trees else document

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Catalog:
        return cls(
            components=load_manifests(MLComponent, data["components"]),
            pipelines=load_manifests(ExperimentPipeline, data["pipelines"]),
            apis=load_manifests(APIComponent, data["apis"]),
            boxes=load_manifests(DataBox, data["boxes"]),
            secrets={name: tuple(keys) for name, keys in data["secrets"].items()},
            app=PlatformApp.model_validate(data["app"]) if data["app"] else None,
            config_maps=data.get("config_maps", {}),  # none in a catalog of version 0.1
            trees=data.get("trees", {}),  # only of images that are built
        )


def dump_manifests(bodies: Mapping[str, Header]) -> dict[str, object]:
    return {name: body.model_dump(mode="json", by_alias=True) for name, body in bodies.items()}


def load_manifests(model: type[Body], data: Mapping[str, Any]) -> dict[str, Body]:
    return {name: model.model_validate(body) for name, body in data.items()}
