"""Bytes of a file to the trees of its documents: YAML 1.2 without surprises.

Built on the parser's events, not on its constructor: positions are exact, and size, depth and aliases are bounded
while reading, so that a small file cannot become a large value.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from libs.common.manifests.nodes import Entry, Node, Scalar
from libs.common.manifests.scalars import resolve

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


class Unreadable(Exception):
    """The file is not YAML that a manifest may be written in; line and column count from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


def parse(content: bytes) -> list[Node]:
    """The root of every document that is not empty; `Unreadable` when any part of the file is not valid."""
    text = decoded(content)
    try:
        return list(documents(YAML(typ="safe", pure=True).parse(text)))
    except MarkedYAMLError as error:
        raise invalid(error) from error
    except YAMLError as error:
        raise Unreadable(1, 1, f"invalid YAML: {error}") from error


def decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        raise Unreadable(*end_of(before), "not UTF-8 text; save the file as UTF-8") from error
    if strange := NOT_TEXT.search(text):
        sentence = f"character U+{ord(strange[0]):04X} is not allowed; remove it, or write it as an escape in quotes"
        raise Unreadable(*end_of(text[: strange.start()]), sentence)
    return text


def end_of(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def invalid(error: MarkedYAMLError) -> Unreadable:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = " ".join(str(error.problem or error.context or "it cannot be parsed").split())
    advice = ADVICE.get(problem) or (" ".join(str(error.context).split()) if error.context else "")
    return Unreadable(line, column, f"invalid YAML: {problem}" + (f"; {advice}" if advice else ""))


def documents(events: Iterator[Any]) -> Iterator[Node]:
    composer = Composer(events)
    for event in events:
        if isinstance(event, DocumentStartEvent):
            root = composer.document()
            if root.value is not None:
                yield root


class Composer:
    """Events of the parser to nodes. The limit on nodes is for the whole file; an alias counts as what it repeats."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.anchors: dict[str, Node | None] = {}
        self.nodes = 0

    def document(self) -> Node:
        self.anchors = {}
        return self.node(next(self.events), depth=1)

    def node(self, event: Any, depth: int) -> Node:
        line, column = place(event)
        if isinstance(event, AliasEvent):
            return self.alias(event, depth)
        if depth > MAX_DEPTH:
            raise Unreadable(line, column, f"nested deeper than {MAX_DEPTH} levels; make it flatter")
        self.spend(1, line, column)
        if event.anchor:
            self.anchors[event.anchor] = None  # open: an alias to it from inside would never end
        built = self.built(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = built
        return built

    def built(self, event: Any, depth: int) -> Node:
        line, column = place(event)
        if isinstance(event, ScalarEvent):
            return Node(scalar(event), line, column)
        collection_tag(event)
        if isinstance(event, SequenceStartEvent):
            items = tuple(self.node(child, depth + 1) for child in self.children())
            return Node(items, line, column, *extent(items))
        return self.mapping(event, depth)

    def alias(self, event: Any, depth: int) -> Node:
        line, column = place(event)
        if event.anchor not in self.anchors:
            raise Unreadable(line, column, f'unknown alias "*{event.anchor}"; define it before with &{event.anchor}')
        target = self.anchors[event.anchor]
        if target is None:
            raise Unreadable(line, column, f'alias "*{event.anchor}" contains itself; write the value out')
        self.spend(target.size, line, column)
        if depth + target.height > MAX_DEPTH + 1:
            raise Unreadable(line, column, f"nested deeper than {MAX_DEPTH} levels; make it flatter")
        return target

    def spend(self, nodes: int, line: int, column: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            sentence = f"more than {MAX_NODES} values with aliases expanded; split the file, or use fewer aliases"
            raise Unreadable(line, column, sentence)

    def children(self) -> Iterator[Any]:
        for event in self.events:
            if not isinstance(event, ScalarEvent | AliasEvent | SequenceStartEvent | MappingStartEvent):
                return  # the end of this collection: ends of inner ones are taken by their own nodes
            yield event

    def mapping(self, event: Any, depth: int) -> Node:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for child in self.children():
            line, column = place(child)
            name = self.field_name(child, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if name == "<<" and plain(child):
                merged = dict(merges(value)) | merged
            elif name in entries:
                first = entries[name].line
                raise Unreadable(line, column, f'duplicate field "{name}"; the first one is on line {first}')
            else:
                entries[name] = Entry(line, column, value)
        whole = entries | {name: entry for name, entry in merged.items() if name not in entries}
        return Node(whole, *place(event), *extent(tuple(entry.value for entry in whole.values())))

    def field_name(self, event: Any, depth: int) -> str:
        """A field's name is its text, also where a value would be a number or a truth value (`on:`, `1:`)."""
        node = self.node(event, depth)
        if isinstance(node.value, tuple | dict):
            raise Unreadable(*place(event), "a field's name must be one word, not a list or a mapping")
        return str(event.value) if isinstance(event, ScalarEvent) else str(node.value)


def merges(value: Node) -> Iterator[tuple[str, Entry]]:
    """The fields that `<<` brings in: of one mapping, or of a list of them, where the earlier wins."""
    for source in reversed(value.value) if isinstance(value.value, tuple) else (value,):
        if not isinstance(source.value, dict):
            raise Unreadable(value.line, value.column, '"<<" takes a mapping or a list of mappings, as an alias')
        yield from source.value.items()


def place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def extent(children: tuple[Node, ...]) -> tuple[int, int]:
    return 1 + sum(child.size for child in children), 1 + max((child.height for child in children), default=0)


def plain(event: Any) -> bool:
    return isinstance(event, ScalarEvent) and event.style is None and event.tag is None


def scalar(event: Any) -> Scalar:
    try:
        return resolve(event.value, event.tag, plain=bool(event.implicit[0]))
    except ValueError as error:
        raise Unreadable(*place(event), str(error)) from error


def collection_tag(event: Any) -> None:
    if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        raise Unreadable(*place(event), f'tag "{event.tag}" is not allowed; remove it')
