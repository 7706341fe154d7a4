"""The schema of a function's inputs and outputs, and the validation of requests. Pure.

A schema is built from the docstring (`docstring`) and the signature (`signature`) of the function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ..problems import Invalid, invalid_input
from .items import Item, find_fault, is_file_item
from .output_encoding import encode_outputs

DEFAULT_MODEL_KEY = "default"


class SchemaError(Exception):
    """The function's signature or docstring cannot be served."""


def get_data(item: Item) -> Any:
    """The value of an item without conversion."""
    return item["data"]


@dataclass(frozen=True)
class FieldType:
    """The type of an input or output: its datatypes (empty: any), and the conversion of an item to the value.

    `convert` raises `ValueError` with the reason. `scalar`: accepts a bare number for a list of one.
    `binary`: accepts binary elements of a tensor without unpacking.
    `single`, `listed`: accepts one text or object, a list of them. `format`: JSON Schema's format of a text.
    `takes_any`: accepts every value of its datatypes. `members`: the types of a `Union`.
    """

    datatypes: tuple[str, ...] = ()
    convert: Callable[[Item], Any] = get_data
    scalar: bool = False
    nullable: bool = False
    choices: tuple[Any, ...] = ()
    binary: bool = False
    single: bool = True
    listed: bool = False
    format: str = ""
    takes_any: bool = False
    members: tuple[FieldType, ...] = ()


@dataclass(frozen=True)
class Field:
    name: str
    type: FieldType = FieldType()
    required: bool = True
    description: str = ""


@dataclass(frozen=True)
class Schema:
    """`is_open`: accepts inputs that are not declared.

    `default_output`: for undeclared outputs, whether they may be None, and the datatype of an empty list.
    """

    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    is_open: bool = True
    description: str = ""
    default_output: Field = Field("")
    inputs_by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)
    outputs_by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)
    required_inputs: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs_by_name", {field.name: field for field in self.inputs})
        object.__setattr__(self, "outputs_by_name", {field.name: field for field in self.outputs})
        object.__setattr__(self, "required_inputs", tuple(field.name for field in self.inputs if field.required))

    def get_output(self, name: str) -> Field:
        return self.outputs_by_name.get(name, self.default_output)


@dataclass(frozen=True)
class Inputs:
    """A validated request."""

    items: list[Item]
    parameters: list[Any]
    output_fields: tuple[str, ...]
    has_files: bool
    """Whether any item is a FILE."""
    encode_outputs: Callable[[list[Item]], bytes] = encode_outputs
    """Encodes the outputs as the body of the response."""


def validate_request(body: Any, schema: Schema) -> Inputs:
    """Validate a predict request; raises `Invalid` with an entry for everything that is wrong.

    `inputs` may be omitted if no input is required.
    """
    if not isinstance(body, dict):
        raise invalid_input("body", "must be an object with inputs")
    errors: list[dict[str, str]] = []
    parameters = _get_list(body, "parameters", errors)
    output_fields = _parse_output_fields(body, schema, errors)
    if body.get("model_key") not in (None, DEFAULT_MODEL_KEY):
        errors.append(_input_error("model_key", f"must be {DEFAULT_MODEL_KEY!r}, there is no other model"))
    items = body.get("inputs")
    if items is None and not schema.required_inputs:
        items = []
    if not isinstance(items, list):
        errors.append(_input_error("inputs", "is missing" if items is None else "must be a list of items"))
        raise Invalid(errors)
    errors.extend(_validate_items(items, schema))
    if errors:
        raise Invalid(errors)
    return Inputs(items, parameters, output_fields, any(is_file_item(item) for item in items))


def _input_error(name: str, message: str) -> dict[str, str]:
    return {"input": name, "message": message}


def _get_list(body: Mapping[str, Any], name: str, errors: list[dict[str, str]]) -> list[Any]:
    value = body.get(name)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    errors.append(_input_error(name, "must be a list"))
    return []


def _parse_output_fields(body: Mapping[str, Any], schema: Schema, errors: list[dict[str, str]]) -> tuple[str, ...]:
    elements = _get_list(body, "output_fields", errors)
    names: list[Any] = [element.get("name") if isinstance(element, dict) else element for element in elements]
    if not all(isinstance(name, str) for name in names):
        errors.append(_input_error("output_fields", "must be a list of names, or of objects with a name"))
        return ()
    output_names = {field.name for field in schema.outputs}
    if output_names:
        errors.extend(unknown_output_error(name) for name in names if name not in output_names)
    return tuple(dict.fromkeys(names))


def unknown_output_error(name: str) -> dict[str, str]:
    return _input_error("output_fields", f"there is no output {name!r}")


def _validate_items(items: list[Any], schema: Schema) -> list[dict[str, str]]:
    errors: list[dict[str, str]] = []
    seen = set()
    for index, item in enumerate(items):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            errors.append(_input_error(f"inputs[{index}]", "must be an item with a name"))
            continue
        message = "is given twice" if name in seen else _find_fault(name, item, schema)
        seen.add(name)
        if message is not None:
            errors.append(_input_error(name, message))
    errors.extend(_input_error(name, "is missing") for name in schema.required_inputs if name not in seen)
    return errors


def _find_fault(name: str, item: Item, schema: Schema) -> str | None:
    field = schema.inputs_by_name.get(name)
    if field is None:
        return find_fault(item, listed=True) if schema.is_open else "is not an input of this function"
    field_type = field.type
    if field_type.nullable and item.get("data", 0) is None:
        return None if isinstance(item.get("datatype"), str) else "datatype is missing"
    datatype = item.get("datatype")
    if field_type.datatypes and datatype not in field_type.datatypes:
        return f"datatype must be {' or '.join(field_type.datatypes)}, not {datatype!r}"
    return find_fault(item, field_type.scalar, field_type.single, field_type.listed)
