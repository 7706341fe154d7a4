"""What every command that speaks to a mesh is given: the client, and how to show what it got."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from libs.common.errors import Forbidden, Unauthorized
from services.cli import profile, render
from services.cli.client import Client, path

P = ParamSpec("P")
App = Annotated[str, typer.Argument(metavar="APP", help="The app's namespace.")]
Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="Address of the mesh (else MLMESH_URL).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Mesh:
    client: Client
    as_json: bool

    def table(self, items: Sequence[Any], **columns: Callable[[Any], Any]) -> None:
        """`items` as JSON, or as a table whose columns are made by the functions."""
        if self.as_json:
            render.document(list(items))
        else:
            titles = [name.strip("_").replace("_", " ").upper() for name in columns]
            render.table(titles, [[cell(item) for cell in columns.values()] for item in items])

    def listed(self, app: str, items: Iterable[Any]) -> list[Any]:
        """`items` of an app. When there are none: raises NotFound if that is because there is no such app."""
        found = list(items)
        if not found:
            with suppress(Unauthorized, Forbidden):  # a caller's key, which may read runs and no more
                self.client.get("/api/v1/apps" + path(app))
        return found

    def show(self, value: Any, pairs: Iterable[tuple[str, Any]]) -> None:
        if self.as_json:
            render.document(value)
        else:
            render.pairs(pairs)

    def say(self, value: Any, sentence: str) -> None:
        if self.as_json:
            render.document(value)
        else:
            render.write(sentence)


def field(name: str) -> Callable[[Any], Any]:
    return lambda item: item.get(name)


def talks(function: Callable[Concatenate[Mesh, P], None]) -> Callable[..., None]:
    """Give the command `--url` and `--json`, and call it with a Mesh."""
    return _with_mesh(function, json=True)


def talks_without_data(function: Callable[Concatenate[Mesh, P], None]) -> Callable[..., None]:
    """The same for a command whose output is not data (or is always JSON)."""
    return _with_mesh(function, json=False)


def _with_mesh(function: Callable[..., None], json: bool) -> Callable[..., None]:
    @functools.wraps(function)
    def command(url: str | None, as_json: bool = False, **given: Any) -> None:
        function(Mesh(Client(profile.load(os.environ, url)), as_json), **given)

    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    added = [_option("url", Url, None)] + ([_option("as_json", Json, False)] if json else [])
    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    command.__signature__ = signature.replace(parameters=[*keywords, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
