"""JSON to values and back; orjson where it is installed, with the same results as the standard library.

Not a number and the infinities are not JSON: refused when read, written as null.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

from . import strict_json
from .json_types import to_json_tree, to_json_type


def _import_orjson() -> Any:
    try:
        return importlib.import_module("orjson")
    except ImportError:
        return None


orjson: Any = _import_orjson()


def decode(body: bytes | str) -> Any:
    """The value; `ValueError` when this is not JSON in UTF-8, in the same words with orjson and without."""
    text = body if isinstance(body, bytes) else body.encode("utf-8")
    if orjson is not None:
        try:
            return orjson.loads(text)
        except ValueError:
            pass
    return strict_json.decode(text)


def encode(value: Any) -> bytes:
    """UTF-8; `TypeError` when something in it has no JSON form.

    What orjson refuses is written as the standard library writes it.
    """
    if orjson is None:
        return _encode_with_stdlib(value)
    for option in (orjson.OPT_PASSTHROUGH_DATACLASS, orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_NON_STR_KEYS):
        try:
            text: bytes = orjson.dumps(value, default=to_json_type, option=option)
        except orjson.JSONEncodeError:
            continue
        return text
    return _encode_with_stdlib(value)


def encode_with_escapes(document: Any) -> bytes:
    """A document of ours, whatever texts it quotes: what has no UTF-8 is escaped in it."""
    try:
        return encode(document)
    except TypeError:
        return encode(_escape_surrogates(document))


def _escape_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_escape_surrogates(key): _escape_surrogates(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_escape_surrogates(inner) for inner in value]
    return value


def _encode_with_stdlib(value: Any) -> bytes:
    try:
        return _dump_or_convert(value).encode("utf-8")
    except RecursionError as error:
        raise TypeError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise TypeError("it has text that is not Unicode") from error
    except ValueError as error:
        raise TypeError("it contains itself" if "Circular" in str(error) else str(error)) from error


def _dump_or_convert(value: Any) -> str:
    try:
        return _dump(value)
    except (TypeError, ValueError) as error:
        if "Circular" in str(error):
            raise
        return _dump(to_json_tree(value))


def _dump(value: Any) -> str:
    return json.dumps(value, default=to_json_type, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
