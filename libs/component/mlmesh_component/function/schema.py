"""What a function takes and gives, and whether a request fits. Pure.

A schema comes from the docstring (`docstring`) or the signature (`signature`) of the function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ..problems import Invalid, invalid
from .items import Item, fault, is_file
from .output_encoding import encode

DEFAULT_MODEL_KEY = "default"


class SchemaError(Exception):
    """The function cannot be served as it is written."""


def as_is(item: Item) -> Any:
    """The value of an item whose parameter says nothing about it."""
    return item["data"]


@dataclass(frozen=True)
class Kind:
    """What one annotation takes: datatypes (none: any), and how an item becomes its value.

    `convert` raises `ValueError` with what is wrong. `scalar`: a bare number will do for a list of one.
    `packed`: it takes the elements of a tensor in binary as they came, too.
    `single`, `listed`: one text or object will do, a list of them will. `format`: JSON Schema's, of a text.
    `anything`: it takes each value of its datatypes. `members`: the kinds of a `Union`.
    """

    datatypes: tuple[str, ...] = ()
    convert: Callable[[Item], Any] = as_is
    scalar: bool = False
    nullable: bool = False
    choices: tuple[Any, ...] = ()
    packed: bool = False
    single: bool = True
    listed: bool = False
    format: str = ""
    anything: bool = False
    members: tuple[Kind, ...] = ()


@dataclass(frozen=True)
class Field:
    name: str
    kind: Kind = Kind()
    required: bool = True
    description: str = ""


@dataclass(frozen=True)
class Schema:
    """`open`: inputs that are not named here are taken too.

    `others`: outputs that are not named here: whether they may be None, and the datatype of an empty list.
    """

    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    open: bool = True
    description: str = ""
    others: Field = Field("")
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)
    outputs_by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)
    required: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {one.name: one for one in self.inputs})
        object.__setattr__(self, "outputs_by_name", {one.name: one for one in self.outputs})
        object.__setattr__(self, "required", tuple(one.name for one in self.inputs if one.required))

    def output(self, name: str) -> Field:
        return self.outputs_by_name.get(name, self.others)


@dataclass(frozen=True)
class Inputs:
    """A request that fits: well-formed items of known names."""

    items: list[Item]
    parameters: list[Any]
    output_fields: tuple[str, ...]
    files: bool
    """Whether an item is a FILE."""
    encode: Callable[[list[Item]], bytes] = encode
    """Makes the answer's body of the outputs."""


def check(body: Any, schema: Schema) -> Inputs:
    """The inputs of a predict request; `Invalid` names everything in it that does not fit.

    Where no input is required, `inputs` may be left out.
    """
    if not isinstance(body, dict):
        raise invalid("body", "must be an object with inputs")
    errors: list[dict[str, str]] = []
    parameters = _list_of(body, "parameters", errors)
    wanted = _output_fields(body, schema, errors)
    if body.get("model_key") not in (None, DEFAULT_MODEL_KEY):
        errors.append(_error("model_key", f"must be {DEFAULT_MODEL_KEY!r}, there is no other model"))
    items = body.get("inputs")
    if items is None and not schema.required:
        items = []
    if not isinstance(items, list):
        errors.append(_error("inputs", "is missing" if items is None else "must be a list of items"))
        raise Invalid(errors)
    errors.extend(_item_errors(items, schema))
    if errors:
        raise Invalid(errors)
    return Inputs(items, parameters, wanted, any(is_file(item) for item in items))


def _error(name: str, message: str) -> dict[str, str]:
    return {"input": name, "message": message}


def _list_of(body: Mapping[str, Any], name: str, errors: list[dict[str, str]]) -> list[Any]:
    value = body.get(name)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    errors.append(_error(name, "must be a list"))
    return []


def _output_fields(body: Mapping[str, Any], schema: Schema, errors: list[dict[str, str]]) -> tuple[str, ...]:
    given = _list_of(body, "output_fields", errors)
    names: list[Any] = [one.get("name") if isinstance(one, dict) else one for one in given]
    if not all(isinstance(name, str) for name in names):
        errors.append(_error("output_fields", "must be a list of names, or of objects with a name"))
        return ()
    known = {one.name for one in schema.outputs}
    if known:
        errors.extend(unknown_output(name) for name in names if name not in known)
    return tuple(dict.fromkeys(names))


def unknown_output(name: str) -> dict[str, str]:
    return _error("output_fields", f"there is no output {name!r}")


def _item_errors(items: list[Any], schema: Schema) -> list[dict[str, str]]:
    errors: list[dict[str, str]] = []
    seen = set()
    for index, item in enumerate(items):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            errors.append(_error(f"inputs[{index}]", "must be an item with a name"))
            continue
        message = "is given twice" if name in seen else _item_fault(name, item, schema)
        seen.add(name)
        if message is not None:
            errors.append(_error(name, message))
    errors.extend(_error(name, "is missing") for name in schema.required if name not in seen)
    return errors


def _item_fault(name: str, item: Item, schema: Schema) -> str | None:
    declared = schema.by_name.get(name)
    if declared is None:
        return fault(item, listed=True) if schema.open else "is not an input of this function"
    kind = declared.kind
    if kind.nullable and item.get("data", 0) is None:
        return None if isinstance(item.get("datatype"), str) else "datatype is missing"
    datatype = item.get("datatype")
    if kind.datatypes and datatype not in kind.datatypes:
        return f"datatype must be {' or '.join(kind.datatypes)}, not {datatype!r}"
    return fault(item, kind.scalar, kind.single, kind.listed)
