"""Parses `NAME=VALUE` arguments; VALUE is JSON, `@FILE` with JSON, or text."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.common.datatypes import NUMERIC_DATATYPES, TENSOR_DATATYPES
from services.cli.cli_errors import WrongUsage

TEXTS = frozenset({"str", "FILE"})


@dataclass(frozen=True)
class InputType:
    """The type of an input, from its component's OpenAPI document: datatypes, best first; empty allows any.

    `single`, `listed`: accepts one text or object, or a list of them. `base64`: texts are base64-encoded bytes.
    """

    datatypes: tuple[str, ...] = ()
    single: bool = True
    listed: bool = True
    base64: bool = False


ANY_TYPE = InputType()


def parse_assignments(texts: Iterable[str]) -> list[tuple[str, str]]:
    return [_parse_assignment(text) for text in texts]


def _parse_assignment(text: str) -> tuple[str, str]:
    name, equals, assigned = text.partition("=")
    if not name or not equals:
        raise WrongUsage(f"{text}: write NAME=VALUE")
    return name, assigned


def parse_value(text: str, accepted: InputType = ANY_TYPE) -> Any:
    """Parse `text` as the input's type; for an unknown type as JSON if it is valid JSON, else as text."""
    if text.startswith("@"):
        return _read_base64(Path(text[1:])) if accepted.base64 else read_json(Path(text[1:]))
    if accepted.datatypes and set(accepted.datatypes) <= TEXTS and not (accepted.listed and text.startswith("[")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return _parse_list(text) if any(kind in TENSOR_DATATYPES for kind in accepted.datatypes) else text


def _read_base64(file: Path) -> str:
    try:
        return base64.b64encode(file.read_bytes()).decode()
    except OSError as error:
        raise WrongUsage(f"{file} cannot be read: {error.strerror}") from error


def _parse_list(text: str) -> Any:
    """Parse `1,4,2,8` as a list, for an input of numbers or booleans."""
    try:
        items = json.loads(f"[{text}]")
    except ValueError:
        return text
    return items or text


def read_json(file: Path) -> Any:
    """Parse a JSON file; `-` is standard input. Raises WrongUsage."""
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except ValueError as error:
        raise WrongUsage(f"{file} is not JSON: {error}") from error


def build_input(name: str, data: Any, accepted: InputType = ANY_TYPE) -> dict[str, object]:
    """Build one input of a prediction request."""
    kinds = accepted.datatypes
    if data is None:
        return {"name": name, "datatype": (kinds or ("str",))[0], "data": None}
    if isinstance(data, str) and kinds and not set(kinds) & TEXTS:
        raise WrongUsage(f"{name}: {data!r} is none of {', '.join(kinds)}; write numbers as 1,2,3, else JSON")
    if isinstance(data, str | dict):
        datatype = "dict" if isinstance(data, dict) else "FILE" if kinds == ("FILE",) else "str"
        if accepted.single:
            return {"name": name, "datatype": datatype, "data": data}
        data = [data]
    shape, flat = _flatten(data)
    return {"name": name, "datatype": _choose_datatype(name, flat, kinds), "shape": shape, "data": flat}


def _flatten(data: Any) -> tuple[list[int], list[Any]]:
    """Flatten nested lists; returns the shape and the elements. A scalar has shape [1]."""
    if not isinstance(data, list):
        return [1], [data]
    if not any(isinstance(element, list) for element in data):
        return [len(data)], data
    rows = [_flatten(element) for element in data]
    if any(
        shape != rows[0][0] or not isinstance(element, list) for (shape, _), element in zip(rows, data, strict=True)
    ):
        raise WrongUsage("the rows of a list must have one length")
    return [len(data), *rows[0][0]], [number for _, flat in rows for number in flat]


def _choose_datatype(name: str, flat: list[Any], accepted: tuple[str, ...]) -> str:
    if not flat and accepted:
        return accepted[0]
    for kind, datatype in ((bool, "BOOL"), (str, "str"), (dict, "dict")):
        if all(isinstance(element, kind) for element in flat):
            return datatype
    if not all(isinstance(element, int | float) and not isinstance(element, bool) for element in flat):
        raise WrongUsage(f"{name}: a list holds numbers only, true and false only, texts only, or objects only")
    integers = all(isinstance(element, int) for element in flat)
    fitting = [kind for kind in accepted if kind in NUMERIC_DATATYPES and (integers or kind.startswith("FP"))]
    return fitting[0] if fitting else "INT64" if integers else "FP64"
