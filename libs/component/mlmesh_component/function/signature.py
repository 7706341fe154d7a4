"""Schemas from annotated parameters: `def f(text: str, top_k: int = 3) -> dict`. Pure.

Inputs are passed as keyword arguments. `RESERVED_PARAMETERS` are provided by the runtime and never inputs.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import typing
from collections.abc import Mapping
from typing import Any, Callable

from . import docstring, return_annotation
from .annotation_types import make_nullable, resolve_type
from .schema import Field, Schema, SchemaError

RESERVED_PARAMETERS = ("parameters", "inputs", "model", "output_fields", "context")


@dataclasses.dataclass(frozen=True)
class Signature:
    """`reserved`: the `RESERVED_PARAMETERS` that the function has; `inputs`: its other parameters."""

    reserved: tuple[str, ...]
    inputs: tuple[Field, ...]


def read_signature(function: Callable[..., Any], *, batched: bool = False) -> Signature:
    """Read the parameters; raises `SchemaError`. `batched`: `list[X]` is an X of each request."""
    parameters = _list_parameters(function)
    reserved = tuple(parameter.name for parameter in parameters if parameter.name in RESERVED_PARAMETERS)
    input_parameters = [parameter for parameter in parameters if parameter.name not in RESERVED_PARAMETERS]
    hints = _get_hints(function) if input_parameters else {}
    texts = docstring.parse_parameter_texts(inspect.getdoc(function))
    return Signature(
        reserved,
        tuple(
            _build_field(parameter, hints, texts.get(parameter.name, ""), batched=batched)
            for parameter in input_parameters
        ),
    )


def build_schema(function: Callable[..., Any], *, batched: bool = False) -> Schema:
    """Build the schema of a function from its docstring and its annotations."""
    return return_annotation.add_outputs(
        _build_input_schema(function, batched), _return_annotation(function), batched=batched
    )


def _build_input_schema(function: Callable[..., Any], batched: bool) -> Schema:
    """The schema of the docstring, extended by the parameters that are inputs."""
    text = inspect.getdoc(function)
    signature = read_signature(function, batched=batched)
    docstring_schema = docstring.parse_schema(text)
    if not signature.inputs:
        return docstring_schema or Schema(description=docstring.parse_summary(text))
    docstring_inputs = {field.name: field for field in docstring_schema.inputs} if docstring_schema else {}
    inputs = tuple(_merge_docstring(field, docstring_inputs.pop(field.name, None)) for field in signature.inputs)
    return Schema(
        inputs=inputs + tuple(docstring_inputs.values()),
        outputs=docstring_schema.outputs if docstring_schema else (),
        is_open="inputs" in signature.reserved and not docstring_inputs,
        description=docstring.parse_summary(text),
    )


def _merge_docstring(field: Field, docstring_field: Field | None) -> Field:
    if docstring_field is None:
        return field
    field_type = field.type
    if docstring_field.type.datatypes:
        field_type = dataclasses.replace(
            field_type,
            datatypes=docstring_field.type.datatypes,
            listed=field_type.listed and bool(field_type.datatypes),
        )
    return dataclasses.replace(field, type=field_type, description=docstring_field.description or field.description)


def _list_parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise SchemaError(f"its parameters cannot be read: {error}") from error
    for parameter in parameters:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise SchemaError(f"parameter {parameter.name!r} is positional only, but parameters are passed by name")
    return [
        parameter for parameter in parameters if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def _get_hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    annotated: Any = function
    while isinstance(annotated, functools.partial):
        annotated = function = annotated.func
    if not inspect.isfunction(inspect.unwrap(function)) and not inspect.ismethod(function):
        annotated = type(function).__call__
    try:
        return typing.get_type_hints(inspect.unwrap(annotated))
    except (NameError, TypeError) as error:
        raise SchemaError(f"its annotations cannot be read: {error}") from error


def _return_annotation(function: Callable[..., Any]) -> Any:
    """The return annotation; `Any` if it cannot be evaluated."""
    try:
        return _get_hints(function).get("return", Any)
    except Exception:  # noqa: BLE001 - the developer's annotations may raise anything
        return Any


def _build_field(parameter: inspect.Parameter, hints: Mapping[str, Any], text: str, *, batched: bool) -> Field:
    annotation = hints.get(parameter.name, Any)
    if batched and typing.get_origin(annotation) in (list, collections.abc.Sequence):
        annotation = typing.get_args(annotation)[0]
    try:
        field_type = make_nullable(resolve_type(annotation)) if parameter.default is None else resolve_type(annotation)
    except SchemaError as error:
        raise SchemaError(f"parameter {parameter.name!r}: {error}") from error
    required = parameter.default is parameter.empty and not field_type.nullable
    return Field(parameter.name, field_type, required, text)
