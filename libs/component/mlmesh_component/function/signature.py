"""The schema that annotated parameters tell: `def f(text: str, top_k: int = 3) -> dict`. Pure.

Each input is passed by its name. The parameters of `CLASSIC` are ours and never inputs.
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
from .annotation_types import kind_of, nullable
from .schema import Field, Schema, SchemaError

CLASSIC = ("parameters", "inputs", "model", "output_fields", "context")


@dataclasses.dataclass(frozen=True)
class Signature:
    """`ours`: the names of `CLASSIC` that it takes; `inputs`: the parameters that are inputs."""

    ours: tuple[str, ...]
    inputs: tuple[Field, ...]


def read(function: Callable[..., Any], *, batched: bool = False) -> Signature:
    """`SchemaError` names the parameter that cannot be an input. `batched`: `list[X]` is an X of each request."""
    parameters = _parameters(function)
    ours = tuple(parameter.name for parameter in parameters if parameter.name in CLASSIC)
    rest = [parameter for parameter in parameters if parameter.name not in CLASSIC]
    hints = _hints(function) if rest else {}
    texts = docstring.parameter_texts(inspect.getdoc(function))
    return Signature(ours, tuple(_field(one, hints, texts.get(one.name, ""), batched=batched) for one in rest))


def schema(function: Callable[..., Any], *, batched: bool = False) -> Schema:
    """The one schema of a function: its docstring's, with what its annotations say of inputs and outputs."""
    return return_annotation.described(_of_inputs(function, batched), _returned(function), batched=batched)


def _of_inputs(function: Callable[..., Any], batched: bool) -> Schema:
    """The docstring's, with the parameters that are inputs of their own."""
    text = inspect.getdoc(function)
    signature = read(function, batched=batched)
    written = docstring.schema(text)
    if not signature.inputs:
        return written or Schema(description=docstring.summary(text))
    told = {one.name: one for one in written.inputs} if written else {}
    own = tuple(_described(one, told.pop(one.name, None)) for one in signature.inputs)
    return Schema(
        inputs=own + tuple(told.values()),
        outputs=written.outputs if written else (),
        open="inputs" in signature.ours and not told,
        description=docstring.summary(text),
    )


def _described(own: Field, told: Field | None) -> Field:
    if told is None:
        return own
    kind = own.kind
    if told.kind.datatypes:
        kind = dataclasses.replace(kind, datatypes=told.kind.datatypes, listed=kind.listed and bool(kind.datatypes))
    return dataclasses.replace(own, kind=kind, description=told.description or own.description)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise SchemaError(f"its parameters cannot be read: {error}") from error
    for one in parameters:
        if one.kind is one.POSITIONAL_ONLY:
            raise SchemaError(f"parameter {one.name!r} is positional only, but parameters are passed by name")
    return [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    holder: Any = function
    while isinstance(holder, functools.partial):
        holder = function = holder.func
    if not inspect.isfunction(inspect.unwrap(function)) and not inspect.ismethod(function):
        holder = type(function).__call__
    try:
        return typing.get_type_hints(inspect.unwrap(holder))
    except (NameError, TypeError) as error:
        raise SchemaError(f"its annotations cannot be read: {error}") from error


def _returned(function: Callable[..., Any]) -> Any:
    """Its return annotation; one that cannot be read says nothing."""
    try:
        return _hints(function).get("return", Any)
    except Exception:  # noqa: BLE001 - the developer's annotations may raise whatever they like
        return Any


def _field(parameter: inspect.Parameter, hints: Mapping[str, Any], text: str, *, batched: bool) -> Field:
    annotation = hints.get(parameter.name, Any)
    if batched and typing.get_origin(annotation) in (list, collections.abc.Sequence):
        annotation = typing.get_args(annotation)[0]
    try:
        kind = nullable(kind_of(annotation)) if parameter.default is None else kind_of(annotation)
    except SchemaError as error:
        raise SchemaError(f"parameter {parameter.name!r}: {error}") from error
    required = parameter.default is parameter.empty and not kind.nullable
    return Field(parameter.name, kind, required, text)
