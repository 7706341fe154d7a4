"""The decorators of commands that call a mesh, and `Mesh`, which they pass: the client and the output format."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from libs.common.errors import Forbidden, Unauthorized
from services.cli import profile, render
from services.cli.client import Client, url_path

P = ParamSpec("P")
ENVIRONMENT_ADVICE = "set MLMESH_TOKEN to one of its tokens, or unset it to use that of: mlmesh login"
"""While the variable is set, no other token is used."""
App = Annotated[str, typer.Argument(metavar="APP", help="The app's namespace.")]
Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="Address of the mesh (else MLMESH_URL).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Mesh:
    client: Client
    as_json: bool

    def print_table(self, items: Sequence[Any], **columns: Callable[[Any], Any]) -> None:
        """Print `items` as JSON, or as a table; each function returns the cells of a column."""
        if self.as_json:
            render.write_json(list(items))
        else:
            titles = [name.strip("_").replace("_", " ").upper() for name in columns]
            render.write_table(titles, [[cell(item) for cell in columns.values()] for item in items])

    def require_app(self, app: str, items: Iterable[Any]) -> list[Any]:
        """`items` as a list. If it is empty, raises NotFound unless the app exists."""
        rows = list(items)
        if not rows:
            with suppress(Unauthorized, Forbidden):  # a caller's key may read runs only
                self.client.get("/api/v1/apps" + url_path(app))
        return rows

    def print_pairs(self, value: Any, pairs: Iterable[tuple[str, Any]]) -> None:
        if self.as_json:
            render.write_json(value)
        else:
            render.write_pairs(pairs)

    def print_sentence(self, value: Any, sentence: str) -> None:
        if self.as_json:
            render.write_json(value)
        else:
            render.write_lines(sentence)


def field(name: str) -> Callable[[Any], Any]:
    return lambda item: item.get(name)


def mesh_command(function: Callable[Concatenate[Mesh, P], None]) -> Callable[..., None]:
    """Add `--url` and `--json` to the command, and call it with a Mesh."""
    return _with_mesh(function, json=True)


def mesh_command_without_json(function: Callable[Concatenate[Mesh, P], None]) -> Callable[..., None]:
    """The same for a command whose output is not data (or is always JSON)."""
    return _with_mesh(function, json=False)


def _with_mesh(function: Callable[..., None], json: bool) -> Callable[..., None]:
    @functools.wraps(function)
    def command(url: str | None, as_json: bool = False, **arguments: Any) -> None:
        client = Client(profile.load_profile(os.environ, url), ENVIRONMENT_ADVICE if has_token(os.environ) else None)
        function(Mesh(client, as_json), **arguments)

    signature = inspect.signature(function, eval_str=True)
    parameters = list(signature.parameters.values())[1:]
    added = [_option_parameter("url", Url, None)] + ([_option_parameter("as_json", Json, False)] if json else [])
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    command.__signature__ = signature.replace(parameters=[*keywords, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def has_token(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("MLMESH_TOKEN", "").strip())


def _option_parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
