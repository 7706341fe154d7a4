"""JSON codec: orjson if it is installed, with the same results as the standard library.

NaN and infinities are not JSON: refused when decoded, encoded as null.
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
    """Decode JSON in UTF-8; raises `ValueError` with the same message with orjson and without."""
    text = body if isinstance(body, bytes) else body.encode("utf-8")
    if orjson is not None:
        try:
            return orjson.loads(text)
        except ValueError:
            pass
    return strict_json.decode(text)


def encode(value: Any) -> bytes:
    """Encode as UTF-8; raises `TypeError` for a value without a JSON form.

    Falls back to the standard library for what orjson refuses.
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
    """Encode a document of the runtime; texts in it that UTF-8 cannot encode are escaped."""
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
