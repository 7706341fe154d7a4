"""Values as they are typed: `NAME=VALUE`, where VALUE is JSON, `@FILE` with JSON, or text."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.cli_errors import WrongUsage

NUMBERS = ("FP32", "FP64", "INT32", "INT64")
TENSORS = (*NUMBERS, "BOOL")
TEXTS = frozenset({"str", "FILE"})


@dataclass(frozen=True)
class Accepted:
    """What an input takes by its component's description: datatypes, best first; without them anything.

    `single`, `listed`: one text or object, a list of them. `base64`: its texts stand for bytes.
    """

    datatypes: tuple[str, ...] = ()
    single: bool = True
    listed: bool = True
    base64: bool = False


ANYTHING = Accepted()


def assignments(given: Iterable[str]) -> list[tuple[str, str]]:
    return [_assignment(text) for text in given]


def _assignment(text: str) -> tuple[str, str]:
    name, equals, found = text.partition("=")
    if not name or not equals:
        raise WrongUsage(f"{text}: write NAME=VALUE")
    return name, found


def value(text: str, accepted: Accepted = ANYTHING) -> Any:
    """`text` as something that is accepted; where that is not known JSON when it is JSON, else text."""
    if text.startswith("@"):
        return _in_base64(Path(text[1:])) if accepted.base64 else read_json(Path(text[1:]))
    if accepted.datatypes and set(accepted.datatypes) <= TEXTS and not (accepted.listed and text.startswith("[")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return _listed(text) if any(kind in TENSORS for kind in accepted.datatypes) else text


def _in_base64(file: Path) -> str:
    try:
        return base64.b64encode(file.read_bytes()).decode()
    except OSError as error:
        raise WrongUsage(f"{file} cannot be read: {error.strerror}") from error


def _listed(text: str) -> Any:
    """`1,4,2,8` as a list, where the function wants numbers or true and false."""
    try:
        found = json.loads(f"[{text}]")
    except ValueError:
        return text
    return found or text


def read_json(file: Path) -> Any:
    """What the file holds; `-` is standard input. Raises WrongUsage."""
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except ValueError as error:
        raise WrongUsage(f"{file} is not JSON: {error}") from error


def item(name: str, given: Any, accepted: Accepted = ANYTHING) -> dict[str, Any]:
    """An input of a prediction."""
    kinds = accepted.datatypes
    if given is None:
        return {"name": name, "datatype": (kinds or ("str",))[0], "data": None}
    if isinstance(given, str) and kinds and not set(kinds) & TEXTS:
        raise WrongUsage(f"{name}: {given!r} is none of {', '.join(kinds)}; write numbers as 1,2,3, else JSON")
    if isinstance(given, str | dict):
        datatype = "dict" if isinstance(given, dict) else "FILE" if kinds == ("FILE",) else "str"
        if accepted.single:
            return {"name": name, "datatype": datatype, "data": given}
        given = [given]
    shape, flat = _flat(given)
    return {"name": name, "datatype": _datatype(name, flat, kinds), "shape": shape, "data": flat}


def _flat(given: Any) -> tuple[list[int], list[Any]]:
    """Nested lists as one list and its shape; a scalar is a list of one."""
    if not isinstance(given, list):
        return [1], [given]
    if not any(isinstance(one, list) for one in given):
        return [len(given)], given
    rows = [_flat(one) for one in given]
    if any(shape != rows[0][0] or not isinstance(one, list) for (shape, _), one in zip(rows, given, strict=True)):
        raise WrongUsage("the rows of a list must have one length")
    return [len(given), *rows[0][0]], [number for _, flat in rows for number in flat]


def _datatype(name: str, flat: list[Any], accepted: tuple[str, ...]) -> str:
    if not flat and accepted:
        return accepted[0]
    for kind, datatype in ((bool, "BOOL"), (str, "str"), (dict, "dict")):
        if all(isinstance(one, kind) for one in flat):
            return datatype
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in flat):
        raise WrongUsage(f"{name}: a list holds numbers only, true and false only, texts only, or objects only")
    whole = all(isinstance(one, int) for one in flat)
    fitting = [kind for kind in accepted if kind in NUMBERS and (whole or kind.startswith("FP"))]
    return fitting[0] if fitting else "INT64" if whole else "FP64"
