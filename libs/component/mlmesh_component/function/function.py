"""The developer's function: found by name, called by parameter names."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ..fork_safety import ending_children
from ..problems import Invalid
from . import signature
from .context import Context
from .items import Item
from .schema import Inputs, Schema, SchemaError


class TargetError(Exception):
    """There is no such function."""


def find(name: str) -> Callable[..., Any]:
    """What `package.module:attribute` names; what the module raises while it is imported passes."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise TargetError(f"{name!r} is not of the form package.module:function")
    found: Any = importlib.import_module(module_name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise TargetError(f"module {module_name!r} has no {attribute!r}{_taken(module_name)}")
        found = getattr(found, part)
    if not callable(found):
        raise TargetError(f"{name} is not a function")
    target: Callable[..., Any] = found
    return target


def _taken(module_name: str) -> str:
    """Python's own modules (`site`, `types`) hide those of the same name in a repository."""
    own = getattr(sys, "stdlib_module_names", ())  # from 3.10 on
    return "; Python has a module of this name itself, so call yours something else" if module_name in own else ""


class Function:
    """A function with its schema and its model, ready to be called; `batched`: for several requests at once."""

    def __init__(self, target: Callable[..., Any], model: Any = None, *, batched: bool = False) -> None:
        self._signature = signature.read(target, batched=batched)
        self._model = model
        self._defaults = _defaults(target)
        self.target = target
        self.takes_context = "context" in self._signature.ours
        self.schema: Schema = signature.schema(target, batched=batched)
        self.is_async = inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(
            getattr(target, "__call__", None)  # noqa: B004 - an object's own, to see whether that is async
        )
        self.yields, yields_async = _yields(target)
        self.is_async = self.is_async or yields_async
        if not (self.is_async or self.yields):
            self.target = ending_children(target)
        if self.yields and batched:
            raise SchemaError("it yields its answer in pieces: that cannot be batched")
        if "model" in self._signature.ours and model is None and _demands(target, "model"):
            raise SchemaError("it takes a model, but none is given: name modelBox and modelPath (locally: --model)")

    def arguments(self, inputs: Inputs, context: Context) -> dict[str, Any]:
        """By parameter name; `Invalid` names the inputs whose values their annotations refuse."""
        given: dict[str, Any] = {}
        for name in self._signature.ours:
            given[name] = self._own(name, inputs, context)
        if self._signature.inputs:
            given.update(self._converted(inputs.items))
        return given

    def together(self, given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The arguments of several requests as those of one call: a list a parameter, but one model for all."""
        found: dict[str, Any] = {}
        for name in self._signature.ours:
            found[name] = self._model if name == "model" else [one[name] for one in given]
        for field in self._signature.inputs:
            default = self._defaults.get(field.name)
            found[field.name] = [one.get(field.name, default) for one in given]
        return found

    def _own(self, name: str, inputs: Inputs, context: Context) -> Any:
        if name == "inputs":
            return inputs.items
        if name == "model":
            return self._model
        if name == "context":
            return context
        return inputs.parameters if name == "parameters" else list(inputs.output_fields)

    def _converted(self, items: Sequence[Item]) -> dict[str, Any]:
        by_name = {item["name"]: item for item in items}
        values: dict[str, Any] = {}
        errors: list[dict[str, str]] = []
        for one in self._signature.inputs:
            item = by_name.get(one.name)
            if item is None:
                if one.kind.nullable and _demands(self.target, one.name):
                    values[one.name] = None
                continue
            try:
                values[one.name] = one.kind.convert(item)
            except ValueError as error:
                errors.append({"input": one.name, "message": str(error)})
        if errors:
            raise Invalid(errors)
        return values


def _yields(target: Callable[..., Any]) -> tuple[bool, bool]:
    """Whether its answer comes in pieces, and whether that is asynchronous."""
    own = (target, getattr(target, "__call__", None))  # noqa: B004 - an object's own
    on_loop = any(inspect.isasyncgenfunction(one) for one in own)
    return on_loop or any(inspect.isgeneratorfunction(one) for one in own), on_loop


def _defaults(target: Callable[..., Any]) -> Mapping[str, Any]:
    parameters = inspect.signature(target).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def _demands(target: Callable[..., Any], name: str) -> bool:
    parameter = inspect.signature(target).parameters[name]
    return parameter.default is parameter.empty
