"""Spellings that the original platform takes: read as ours before anything is checked, each with a warning."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel

from libs.common.manifests.configmap import ConfigMap
from libs.common.manifests.fields import FOREIGN, LABEL, Header, Reference
from libs.common.manifests.messages import sections
from libs.common.manifests.nodes import Entry, Node
from libs.common.manifests.problems import Problem

CORE: Final = "v1"
TARGETS: Final = ("mlComponent", "experimentPipeline")
API: Final = ("spec", "restfulApi")


def canonical(file: str, root: Node, model: type[Header]) -> tuple[Node, list[Problem]]:
    """The document in our spelling, every value at its place in the file; as it is when its apiVersion is ours.

    A ConfigMap of Kubernetes is one of ours: it has plain values and nothing else that counts.
    """
    if root.text("apiVersion") == CORE and model is ConfigMap:
        line, column = root.key("apiVersion")
        root = root.put(("apiVersion",), Entry(line, column, Node(FOREIGN, *root.locate("apiVersion"))))
    if root.text("apiVersion") != FOREIGN:
        return root, []
    reading = Reading(file)
    return reading.addressed(reading.spelled(root, model)), reading.warnings


@dataclass
class Reading:
    """The warnings of one document as they come up."""

    file: str
    warnings: list[Problem] = field(default_factory=list)

    def warn(self, line: int, column: int, message: str) -> None:
        self.warnings.append(Problem(self.file, line, column, message, "warning"))

    def spelled(self, node: Node, model: type[BaseModel] | None) -> Node:
        """`restfulAPI` is restfulApi, `mlComponent: digits` is {name: digits}: here and in all that is below."""
        if isinstance(node.value, tuple):
            return replace(node, value=tuple(self.spelled(item, model) for item in node.value))
        if model is None or not isinstance(node.value, Mapping):
            return node
        fields = {one.alias or name: one.annotation for name, one in model.model_fields.items()}
        folded = {fold(name): name for name in fields.keys() - node.value.keys()}
        entries: dict[str, Entry] = {}
        for written, entry in node.value.items():
            name = written if written in fields else folded.pop(fold(written), written)
            if name != written:
                self.warn(entry.line, entry.column, f'"{written}" is read as "{name}"; write {name}')
            entries[name] = entry._replace(value=self.value(name, entry, fields.get(name)))
        return replace(node, value=entries)

    def value(self, name: str, entry: Entry, annotation: Any) -> Node:
        node, model = entry.value, next(sections(annotation), None)
        if not isinstance(node.value, str) or annotation not in (Reference, Reference | None):
            return self.spelled(node, model)
        self.warn(node.line, node.column, f'"{name}" is a name here; write {name}: {{name: {node.value}}}')
        return replace(node, value={"name": Entry(node.line, node.column, node)})

    def addressed(self, root: Node) -> Node:
        """An API without a path is at the name of what it publishes."""
        names = [name for one in TARGETS if (name := root.text("spec", one, "name")) is not None]
        api = root.nearest(API)
        path = api.node.child("path")
        if not root.has(*API) or not isinstance(api.node.value, Mapping) or (path and path.node.value is not None):
            return root
        if len(names) != 1 or not re.fullmatch(LABEL, names[0]):  # an error of its own
            return root
        sentence = f'no "path" in "restfulApi": it is "{names[0]}", the name of the target; write path: {names[0]}'
        self.warn(api.line, api.column, sentence)
        return root.put((*API, "path"), Entry(api.line, api.column, Node(names[0], api.line, api.column)))


def fold(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
