"""Compatibility with the original platform: converts its spellings before validation, each with a warning."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel

from libs.common.manifests.configmap import ConfigMap
from libs.common.manifests.fields import LABEL, ORIGINAL_API_VERSION, Header, Reference
from libs.common.manifests.messages import nested_models
from libs.common.manifests.nodes import Entry, Node
from libs.common.manifests.problems import Problem

KUBERNETES_API_VERSION: Final = "v1"
TARGETS: Final = ("mlComponent", "experimentPipeline")
API_PATH: Final = ("spec", "restfulApi")


def to_canonical(file: str, root: Node, model: type[Header]) -> tuple[Node, list[Problem]]:
    """The document in mlmesh's spelling, with positions in the file; unchanged for apiVersion mlmesh/v1.

    A ConfigMap of Kubernetes is accepted: only its plain values matter.
    """
    if root.get_text("apiVersion") == KUBERNETES_API_VERSION and model is ConfigMap:
        line, column = root.locate_key("apiVersion")
        root = root.with_entry(
            ("apiVersion",), Entry(line, column, Node(ORIGINAL_API_VERSION, *root.locate("apiVersion")))
        )
    if root.get_text("apiVersion") != ORIGINAL_API_VERSION:
        return root, []
    reading = Converter(file)
    return reading.add_default_path(reading.convert_node(root, model)), reading.warnings


@dataclass
class Converter:
    """Converts one document and collects its warnings."""

    file: str
    warnings: list[Problem] = field(default_factory=list)

    def warn(self, line: int, column: int, message: str) -> None:
        self.warnings.append(Problem(self.file, line, column, message, "warning"))

    def convert_node(self, node: Node, model: type[BaseModel] | None) -> Node:
        """Converts recursively: `restfulAPI` to restfulApi, `mlComponent: digits` to {name: digits}."""
        if isinstance(node.value, tuple):
            return replace(node, value=tuple(self.convert_node(item, model) for item in node.value))
        if model is None or not isinstance(node.value, Mapping):
            return node
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        folded = {fold_name(name): name for name in fields.keys() - node.value.keys()}
        entries: dict[str, Entry] = {}
        for written, entry in node.value.items():
            name = written if written in fields else folded.pop(fold_name(written), written)
            if name != written:
                self.warn(entry.line, entry.column, f'"{written}" is read as "{name}"; write {name}')
            entries[name] = entry._replace(value=self.convert_value(name, entry, fields.get(name)))
        return replace(node, value=entries)

    def convert_value(self, name: str, entry: Entry, annotation: Any) -> Node:
        node, model = entry.value, next(nested_models(annotation), None)
        if not isinstance(node.value, str) or annotation not in (Reference, Reference | None):
            return self.convert_node(node, model)
        self.warn(node.line, node.column, f'"{name}" is a name here; write {name}: {{name: {node.value}}}')
        return replace(node, value={"name": Entry(node.line, node.column, node)})

    def add_default_path(self, root: Node) -> Node:
        """The default path of an API is the name of its target."""
        names = [name for target in TARGETS if (name := root.get_text("spec", target, "name")) is not None]
        api = root.find_nearest(API_PATH)
        path = api.node.get_child("path")
        if (
            not root.has_path(*API_PATH)
            or not isinstance(api.node.value, Mapping)
            or (path and path.node.value is not None)
        ):
            return root
        if len(names) != 1 or not re.fullmatch(LABEL, names[0]):  # validation reports it
            return root
        sentence = f'no "path" in "restfulApi": it is "{names[0]}", the name of the target; write path: {names[0]}'
        self.warn(api.line, api.column, sentence)
        return root.with_entry((*API_PATH, "path"), Entry(api.line, api.column, Node(names[0], api.line, api.column)))


def fold_name(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
