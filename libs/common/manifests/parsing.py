"""Parses a YAML 1.2 file to the trees of its documents.

It uses the events of ruamel.yaml's parser, not its constructor: positions are exact, and size, depth and aliases are
limited while parsing, so that a small file cannot expand to a large value.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from libs.common.manifests.nodes import Entry, Node, Scalar
from libs.common.manifests.scalars import resolve_scalar

MAX_NODES: Final = 30_000
MAX_DEPTH: Final = 50
NOT_TEXT: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ADVICE: Final = {
    "mapping values are not allowed here": 'check the indentation, or quote a value that contains ": "',
    "found character '\\t' that cannot start any token": "indent with spaces, not with tabs",
    "found character '%' that cannot start any token": "quote a value that starts with %",
    "found character '@' that cannot start any token": "quote a value that starts with @",
    "found character '`' that cannot start any token": "quote a value that starts with `",
    "could not find expected ':'": 'write "name: value" on this line, or indent it as part of the value above',
    "found unexpected end of stream": "close the quotes",
    "expected <block end>, but found '-'": "indent the items of one list alike",
    "expected <block end>, but found '<block mapping start>'": "indent the fields of one mapping alike",
}


class InvalidYaml(Exception):
    """The file is not YAML, or uses a feature that manifests do not support; line and column count from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


def parse(content: bytes) -> list[Node]:
    """The root of every document that is not empty; `InvalidYaml` if any part of the file is invalid."""
    text = decode_text(content)
    try:
        return list(compose_documents(YAML(typ="safe", pure=True).parse(text)))
    except MarkedYAMLError as error:
        raise to_invalid_yaml(error) from error
    except YAMLError as error:
        raise InvalidYaml(1, 1, f"invalid YAML: {error}") from error


def decode_text(content: bytes) -> str:
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        valid = content[: error.start].decode("utf-8")
        raise InvalidYaml(*end_position(valid), "not UTF-8 text; save the file as UTF-8") from error
    if strange := NOT_TEXT.search(text):
        sentence = f"character U+{ord(strange[0]):04X} is not allowed; remove it, or write it as an escape in quotes"
        raise InvalidYaml(*end_position(text[: strange.start()]), sentence)
    return text


def end_position(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def to_invalid_yaml(error: MarkedYAMLError) -> InvalidYaml:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = " ".join(str(error.problem or error.context or "it cannot be parsed").split())
    advice = ADVICE.get(problem) or (" ".join(str(error.context).split()) if error.context else "")
    return InvalidYaml(line, column, f"invalid YAML: {problem}" + (f"; {advice}" if advice else ""))


def compose_documents(events: Iterator[Any]) -> Iterator[Node]:
    composer = Composer(events)
    for event in events:
        if isinstance(event, DocumentStartEvent):
            root = composer.compose_document()
            if root.value is not None:
                yield root


class Composer:
    """Composes nodes from parser events. The limit of nodes is per file; an alias counts as its expansion."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.anchors: dict[str, Node | None] = {}
        self.nodes = 0

    def compose_document(self) -> Node:
        self.anchors = {}
        return self.compose_node(next(self.events), depth=1)

    def compose_node(self, event: Any, depth: int) -> Node:
        line, column = event_position(event)
        if isinstance(event, AliasEvent):
            return self.alias(event, depth)
        if depth > MAX_DEPTH:
            raise InvalidYaml(line, column, f"nested deeper than {MAX_DEPTH} levels; make it flatter")
        self.count_nodes(1, line, column)
        if event.anchor:
            self.anchors[event.anchor] = None  # incomplete: an alias to it from inside would be infinite
        node = self.compose_value(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def compose_value(self, event: Any, depth: int) -> Node:
        line, column = event_position(event)
        if isinstance(event, ScalarEvent):
            return Node(resolve_event(event), line, column)
        check_collection_tag(event)
        if isinstance(event, SequenceStartEvent):
            items = tuple(self.compose_node(child, depth + 1) for child in self.iter_children())
            return Node(items, line, column, *measure_children(items))
        return self.compose_mapping(event, depth)

    def alias(self, event: Any, depth: int) -> Node:
        line, column = event_position(event)
        if event.anchor not in self.anchors:
            raise InvalidYaml(line, column, f'unknown alias "*{event.anchor}"; define it first with &{event.anchor}')
        target = self.anchors[event.anchor]
        if target is None:
            raise InvalidYaml(line, column, f'alias "*{event.anchor}" contains itself; write the value out')
        self.count_nodes(target.size, line, column)
        if depth + target.height > MAX_DEPTH + 1:
            raise InvalidYaml(line, column, f"nested deeper than {MAX_DEPTH} levels; make it flatter")
        return target

    def count_nodes(self, nodes: int, line: int, column: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            sentence = f"more than {MAX_NODES} values with aliases expanded; split the file, or use fewer aliases"
            raise InvalidYaml(line, column, sentence)

    def iter_children(self) -> Iterator[Any]:
        for event in self.events:
            if not isinstance(event, ScalarEvent | AliasEvent | SequenceStartEvent | MappingStartEvent):
                return  # the end of this collection: inner collections consume their own end
            yield event

    def compose_mapping(self, event: Any, depth: int) -> Node:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for child in self.iter_children():
            line, column = event_position(child)
            name = self.field_name(child, depth + 1)
            value = self.compose_node(next(self.events), depth + 1)
            if name == "<<" and is_plain(child):
                merged = dict(merge_entries(value)) | merged
            elif name in entries:
                first = entries[name].line
                raise InvalidYaml(line, column, f'duplicate field "{name}"; the first one is on line {first}')
            else:
                entries[name] = Entry(line, column, value)
        combined = entries | {name: entry for name, entry in merged.items() if name not in entries}
        return Node(
            combined, *event_position(event), *measure_children(tuple(entry.value for entry in combined.values()))
        )

    def field_name(self, event: Any, depth: int) -> str:
        """The name of a field is its text, also if it looks like a number or a boolean (`on:`, `1:`)."""
        node = self.compose_node(event, depth)
        if isinstance(node.value, tuple | dict):
            raise InvalidYaml(*event_position(event), "a field's name must be one word, not a list or a mapping")
        return str(event.value) if isinstance(event, ScalarEvent) else str(node.value)


def merge_entries(value: Node) -> Iterator[tuple[str, Entry]]:
    """The fields that `<<` merges: of one mapping, or of a list, where earlier mappings have precedence."""
    for source in reversed(value.value) if isinstance(value.value, tuple) else (value,):
        if not isinstance(source.value, dict):
            raise InvalidYaml(value.line, value.column, '"<<" takes a mapping or a list of mappings, as an alias')
        yield from source.value.items()


def event_position(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def measure_children(children: tuple[Node, ...]) -> tuple[int, int]:
    return 1 + sum(child.size for child in children), 1 + max((child.height for child in children), default=0)


def is_plain(event: Any) -> bool:
    return isinstance(event, ScalarEvent) and event.style is None and event.tag is None


def resolve_event(event: Any) -> Scalar:
    try:
        return resolve_scalar(event.value, event.tag, plain=bool(event.implicit[0]))
    except ValueError as error:
        raise InvalidYaml(*event_position(event), str(error)) from error


def check_collection_tag(event: Any) -> None:
    if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        raise InvalidYaml(*event_position(event), f'tag "{event.tag}" is not allowed; remove it')
