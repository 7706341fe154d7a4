"""What a deployment changes: the manifests of two catalogs, compared. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import response_shape
from libs.common.manifests.catalog import Catalog
from services.registry.checks.field_changes import FieldChange, compare_fields

MAX_CHANGES = 500
"""Of fields and of whole manifests; further ones are counted."""
IDENTITY = ("apiVersion", "kind")
"""Fields that say nothing new of a manifest."""

ORDER = ("PlatformApp", "MLComponent", "ExperimentPipeline", "APIComponent", "DataBox", "Secret", "ConfigMap")

Action = Literal["created", "changed", "removed"]
Bodies = Mapping[tuple[str, str], Any]
"""Manifests as JSON by kind and name."""


@response_shape
class FieldChangeJson(TypedDict):
    """A field that differs. Long values are cut, at both ends if need be."""

    field: Annotated[str, Field(examples=["spec.resources.memory"])]
    """Items of a list by their name: `spec.env[LEVEL].value`."""
    before: Annotated[str | None, Field(examples=["1Gi"])]
    """Null: it was not there."""
    after: Annotated[str | None, Field(examples=["2Gi"])]


@response_shape
class ManifestChangeJson(TypedDict):
    """A manifest that is new, differs or is gone. One with a new name is created, and the old one removed."""

    kind: Annotated[str, Field(examples=["MLComponent"])]
    name: Annotated[str, Field(examples=["classify"])]
    action: Action
    fields: list[FieldChangeJson]
    """Of a changed one."""
    data_kept: bool
    """Of a removed one: the files of a box and the values of a secret stay."""


@response_shape
class ManifestChangesJson(TypedDict):
    """What differs between the manifests of two commits."""

    items: list[ManifestChangeJson]
    omitted: Annotated[int, Field(examples=[0])]
    """How many further changes there are."""


@dataclass(frozen=True)
class ManifestChange:
    kind: str
    name: str
    action: Action
    fields: tuple[FieldChange, ...] = ()

    @property
    def keeps_data(self) -> bool:
        return self.action == "removed" and self.kind in ("DataBox", "Secret")

    def to_json(self) -> ManifestChangeJson:
        return {
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "fields": [{"field": it.field, "before": it.before, "after": it.after} for it in self.fields],
            "data_kept": self.keeps_data,
        }


@dataclass(frozen=True)
class ManifestChanges:
    """`omitted`: changes that are not among `items`."""

    items: tuple[ManifestChange, ...] = ()
    omitted: int = 0

    def to_json(self) -> ManifestChangesJson:
        return {"items": [change.to_json() for change in self.items], "omitted": self.omitted}


def compare_catalogs(before: Catalog | None, after: Catalog) -> ManifestChanges:
    """`before`: None when nothing was deployed before."""
    old, new = _list_bodies(before) if before else {}, _list_bodies(after)
    items, count = list[ManifestChange](), 0
    for change in _compare_bodies(old, new):
        room = max(0, MAX_CHANGES - count)
        count += max(1, len(change.fields))
        if room:
            items.append(replace(change, fields=change.fields[:room]))
    return ManifestChanges(tuple(items), max(0, count - MAX_CHANGES))


def _compare_bodies(old: Bodies, new: Bodies) -> Iterator[ManifestChange]:
    """By kind, then by name."""
    for kind, name in sorted({**old, **new}, key=lambda key: (ORDER.index(key[0]), key[1])):
        before, after = old.get((kind, name)), new.get((kind, name))
        if before is None:
            yield ManifestChange(kind, name, "created")
        elif after is None:
            yield ManifestChange(kind, name, "removed")
        elif fields := tuple(compare_fields(before, after)):
            yield ManifestChange(kind, name, "changed", fields)


def _list_bodies(catalog: Catalog) -> Bodies:
    """Of a Secret there are only its keys: values never stand in a manifest."""
    content = catalog.to_json()
    manifests: dict[str, Mapping[str, Any]] = {
        "PlatformApp": {catalog.app.metadata.name: content["app"]} if catalog.app else {},
        "MLComponent": content["components"],
        "ExperimentPipeline": content["pipelines"],
        "APIComponent": content["apis"],
        "DataBox": content["boxes"],
        "Secret": {name: {"spec": {"keys": keys}} for name, keys in content["secrets"].items()},
        "ConfigMap": {name: {"data": values} for name, values in content["config_maps"].items()},
    }
    return {
        (kind, name): {field: value for field, value in body.items() if field not in IDENTITY}
        for kind, bodies in manifests.items()
        for name, body in bodies.items()
    }
