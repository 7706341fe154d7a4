"""Encoding of output items as the JSON body of a response."""

from __future__ import annotations

from .. import json_codec
from ..problems import Problem, WrongOutput
from .items import Item


def encode_outputs(items: list[Item]) -> bytes:
    """Encode the body; raises `WrongOutput` with the output that has no JSON form."""
    try:
        return json_codec.encode({"outputs": items})
    except TypeError as error:
        raise _encoding_error(items, error) from error


def _encoding_error(items: list[Item], error: TypeError) -> Problem:
    for item in items:
        try:
            json_codec.encode(item)
        except TypeError as reason:
            return WrongOutput(f"The function's output {item['name']!r} cannot be written as JSON: {reason}.")
    return WrongOutput(f"The function's outputs cannot be written as JSON: {error}.")
