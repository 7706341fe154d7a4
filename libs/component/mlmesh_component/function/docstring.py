"""Schemas in docstrings: `:param inputs.NAME: text`, `:type inputs.NAME: FP32 or FP64, optional`. Pure."""

from __future__ import annotations

import inspect
import re

from .items import DATATYPES
from .schema import Field, FieldType, Schema, SchemaError

_FIELD = re.compile(r"^\s*:(?P<tag>param|type)\s+(?P<side>inputs|outputs)\.(?P<name>[^:]+?)\s*:(?P<text>.*)$")
_PLAIN = re.compile(r"^\s*:param\s+(?:\S+\s+)?(?P<name>\w+)\s*:(?P<text>.*)$")
_ANY_FIELD = re.compile(r"^\s*:\w[^:]*:")
_SEPARATOR = re.compile(r"\s+or\s+|\s*[|/,]\s*")

FieldTexts = dict[tuple[str, str, str], str]


def parse_schema(text: str | None) -> Schema | None:
    """Parse the schema; None if the docstring declares neither inputs nor outputs."""
    doc = inspect.cleandoc(text or "")
    texts = _parse_field_texts(doc)
    if not texts:
        return None
    inputs, outputs = _build_fields(texts, "inputs"), _build_fields(texts, "outputs")
    return Schema(inputs=inputs, outputs=outputs, is_open=not inputs, description=parse_summary(text))


def parse_summary(text: str | None) -> str:
    """The text before the first field."""
    lines: list[str] = []
    for line in inspect.cleandoc(text or "").splitlines():
        if _ANY_FIELD.match(line):
            break
        lines.append(line)
    return "\n".join(lines).strip()


def parse_parameter_texts(text: str | None) -> dict[str, str]:
    """The descriptions of plain parameters: `:param NAME: text`."""
    matches = (_PLAIN.match(line) for line in inspect.cleandoc(text or "").splitlines())
    return {match["name"]: match["text"].strip() for match in matches if match}


def _parse_field_texts(doc: str) -> FieldTexts:
    texts: FieldTexts = {}
    key: tuple[str, str, str] | None = None
    for line in doc.splitlines():
        match = _FIELD.match(line)
        if match:
            key = (match["tag"], match["side"], match["name"])
            texts[key] = match["text"].strip()
        elif not line.strip() or _ANY_FIELD.match(line):
            key = None
        elif key is not None:
            texts[key] = f"{texts[key]} {line.strip()}".strip()
    return texts


def _build_fields(texts: FieldTexts, side: str) -> tuple[Field, ...]:
    names = dict.fromkeys(name for _, field_side, name in texts if field_side == side)
    return tuple(_build_field(side, name, texts) for name in names)


def _build_field(side: str, name: str, texts: FieldTexts) -> Field:
    words = [word for word in _SEPARATOR.split(texts.get(("type", side, name), "").strip()) if word]
    optional = "optional" in words
    datatypes = tuple(word for word in words if word not in ("optional", "required"))
    for word in datatypes:
        if word not in DATATYPES:
            raise SchemaError(f"{side}.{name}: unknown datatype {word!r}; known are {', '.join(DATATYPES)}")
    return Field(name, FieldType(datatypes), not optional, texts.get(("param", side, name), ""))
