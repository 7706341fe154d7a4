"""The tree of a YAML document: plain values with line and column."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from libs.common.manifests.problems import Path

Scalar: TypeAlias = bool | int | float | str | None


class Entry(NamedTuple):
    """One key of a mapping: its position and its value."""

    line: int
    column: int
    value: "Node"


@dataclass(frozen=True, slots=True)
class Node:
    """`size` and `height` include expanded aliases, so that they can be limited before expansion."""

    value: Scalar | tuple["Node", ...] | Mapping[str, Entry]
    line: int
    column: int
    size: int = 1
    height: int = 1

    def to_plain(self) -> object:
        """The value as new lists and dicts; aliases are copied."""
        if isinstance(self.value, tuple):
            return [item.to_plain() for item in self.value]
        if isinstance(self.value, Mapping):
            return {key: entry.value.to_plain() for key, entry in self.value.items()}
        return self.value

    def walk(self, path: Path) -> Iterator["NodePosition"]:
        """This node and its descendants on the path, as far as they exist."""
        step = NodePosition(self.line, self.column, self)
        yield step
        for name in path:
            child = step.node.get_child(name)
            if child is None:
                return
            step = child
            yield step

    def get_child(self, name: str | int) -> "NodePosition | None":
        if isinstance(self.value, Mapping) and isinstance(name, str) and name in self.value:
            entry = self.value[name]
            return NodePosition(entry.line, entry.column, entry.value)
        if isinstance(self.value, tuple) and isinstance(name, int) and 0 <= name < len(self.value):
            item = self.value[name]
            return NodePosition(item.line, item.column, item)
        return None

    def find_nearest(self, path: Path) -> "NodePosition":
        *_, last = self.walk(path)
        return last

    def has_path(self, *path: str | int) -> bool:
        return len(list(self.walk(path))) == len(path) + 1

    def get_text(self, *path: str | int) -> str | None:
        """The value of a field if it exists and is text."""
        value = self.find_nearest(path).node.value if self.has_path(*path) else None
        return value if isinstance(value, str) else None

    def with_entry(self, path: tuple[str, ...], entry: Entry) -> "Node":
        """A copy of the tree with this entry; its parents must exist."""
        if not isinstance(self.value, Mapping):
            raise TypeError(f"the parent of {path} is not a mapping")
        name, *further = path
        existing = self.value.get(name)
        if further and existing is not None:
            entry = existing._replace(value=existing.value.with_entry(tuple(further), entry))
        return replace(self, value={**self.value, name: entry})

    def locate_key(self, *path: str | int) -> tuple[int, int]:
        """Line and column of the key (or list item) at the path, or of its nearest parent."""
        step = self.find_nearest(path)
        return step.line, step.column

    def locate(self, *path: str | int) -> tuple[int, int]:
        """Line and column of a field: of a scalar value, else of the key."""
        step = self.find_nearest(path)
        if isinstance(step.node.value, bool | int | float | str):
            return step.node.line, step.node.column
        return step.line, step.column


class NodePosition(NamedTuple):
    """A node and the position of its key."""

    line: int
    column: int
    node: Node
