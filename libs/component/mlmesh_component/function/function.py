"""The developer's function: imported by name, called with keyword arguments."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ..fork_safety import exit_forked_children
from ..problems import Invalid
from . import signature
from .context import Context
from .items import Item
from .schema import Inputs, Schema, SchemaError


class TargetError(Exception):
    """The import name does not refer to a function."""


def import_target(name: str) -> Callable[..., Any]:
    """Import `package.module:attribute`; exceptions of the module itself are not caught."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise TargetError(f"{name!r} is not of the form package.module:function")
    resolved: Any = importlib.import_module(module_name)
    for part in attribute.split("."):
        if not hasattr(resolved, part):
            raise TargetError(f"module {module_name!r} has no {attribute!r}{_explain_name_conflict(module_name)}")
        resolved = getattr(resolved, part)
    if not callable(resolved):
        raise TargetError(f"{name} is not a function")
    target: Callable[..., Any] = resolved
    return target


def _explain_name_conflict(module_name: str) -> str:
    """Explain that a module of the standard library (`site`, `types`) hides one of the repository."""
    stdlib_modules = getattr(sys, "stdlib_module_names", ())  # from 3.10 on
    return (
        "; Python has a module of this name itself, so call yours something else"
        if module_name in stdlib_modules
        else ""
    )


class Function:
    """A function with its schema and its model. `batched`: one call handles several requests."""

    def __init__(self, target: Callable[..., Any], model: Any = None, *, batched: bool = False) -> None:
        self._signature = signature.read_signature(target, batched=batched)
        self._model = model
        self._defaults = _get_defaults(target)
        self.target = target
        self.takes_context = "context" in self._signature.reserved
        self.schema: Schema = signature.build_schema(target, batched=batched)
        self.is_async = inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(
            getattr(target, "__call__", None)  # noqa: B004 - a callable object may have an async __call__
        )
        self.is_generator, yields_async = _inspect_generator(target)
        self.is_async = self.is_async or yields_async
        if not (self.is_async or self.is_generator):
            self.target = exit_forked_children(target)
        if self.is_generator and batched:
            raise SchemaError("a generator function cannot be batched")
        if "model" in self._signature.reserved and model is None and _is_required(target, "model"):
            raise SchemaError("it takes a model, but none is given: name modelBox and modelPath (locally: --model)")

    def build_arguments(self, inputs: Inputs, context: Context) -> dict[str, Any]:
        """Arguments by parameter name; raises `Invalid` with the inputs that their annotations refuse."""
        arguments: dict[str, Any] = {}
        for name in self._signature.reserved:
            arguments[name] = self._get_reserved_value(name, inputs, context)
        if self._signature.inputs:
            arguments.update(self._convert_inputs(inputs.items))
        return arguments

    def build_batch_arguments(self, requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Merge the arguments of several requests for one call: a list for each parameter, but one model."""
        arguments: dict[str, Any] = {}
        for name in self._signature.reserved:
            arguments[name] = self._model if name == "model" else [request[name] for request in requests]
        for field in self._signature.inputs:
            default = self._defaults.get(field.name)
            arguments[field.name] = [request.get(field.name, default) for request in requests]
        return arguments

    def _get_reserved_value(self, name: str, inputs: Inputs, context: Context) -> Any:
        if name == "inputs":
            return inputs.items
        if name == "model":
            return self._model
        if name == "context":
            return context
        return inputs.parameters if name == "parameters" else list(inputs.output_fields)

    def _convert_inputs(self, items: Sequence[Item]) -> dict[str, Any]:
        by_name = {item["name"]: item for item in items}
        values: dict[str, Any] = {}
        errors: list[dict[str, str]] = []
        for field in self._signature.inputs:
            item = by_name.get(field.name)
            if item is None:
                if field.type.nullable and _is_required(self.target, field.name):
                    values[field.name] = None
                continue
            try:
                values[field.name] = field.type.convert(item)
            except ValueError as error:
                errors.append({"input": field.name, "message": str(error)})
        if errors:
            raise Invalid(errors)
        return values


def _inspect_generator(target: Callable[..., Any]) -> tuple[bool, bool]:
    """Whether it is a generator function, and whether it is an asynchronous one."""
    callables = (target, getattr(target, "__call__", None))  # noqa: B004 - of a callable object
    is_async = any(inspect.isasyncgenfunction(function) for function in callables)
    return is_async or any(inspect.isgeneratorfunction(function) for function in callables), is_async


def _get_defaults(target: Callable[..., Any]) -> Mapping[str, Any]:
    parameters = inspect.signature(target).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


def _is_required(target: Callable[..., Any], name: str) -> bool:
    parameter = inspect.signature(target).parameters[name]
    return parameter.default is parameter.empty
