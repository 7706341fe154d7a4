"""`mlmesh secret`: values go in and never come out."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import times
from services.cli.apply import asked
from services.cli.cli_errors import WrongUsage
from services.cli.client import path
from services.cli.session import App, Mesh, field, talks

nouns = typer.Typer(help="Secret values: they go in and never come out.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The Secret's name.")]


@nouns.command("set")
@talks
def put(
    mesh: Mesh,
    app: App,
    name: Name,
    pairs: Annotated[list[str], typer.Argument(metavar="KEY[=VALUE]...", help="Without a value it is asked for.")],
) -> None:
    """Set values; without =VALUE from standard input or, on a terminal, from a prompt."""
    if sum("=" not in pair for pair in pairs) > 1:
        raise WrongUsage("standard input can give one value; write KEY=VALUE for the others")
    data = {key: value if equals else asked(key) for key, equals, value in (pair.partition("=") for pair in pairs)}
    mesh.client.put(_path(app, name), {"data": data})
    mesh.say({"secret": name, "keys": sorted(data)}, f"{name}: {', '.join(sorted(data))} set")


@nouns.command("list")
@talks
def listed(mesh: Mesh, app: App) -> None:
    """Secrets of an app, and which of their keys still have no value."""
    mesh.table(
        list(mesh.client.pages(_path(app))),
        name=field("name"),
        keys=lambda one: ", ".join(one["keys"]),
        missing=lambda one: ", ".join(one["missing"]),
        updated=lambda one: times.age(one.get("updated_at")),
    )


@nouns.command("unset")
@talks
def unset(
    mesh: Mesh, app: App, name: Name, keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Which keys.")]
) -> None:
    """Forget the values of some keys; the others stay."""
    for key in keys:
        mesh.client.delete(_path(app, name, key))
    mesh.say({"secret": name, "unset": sorted(keys)}, f"{name}: {', '.join(sorted(keys))} unset")


@nouns.command("delete")
@talks
def delete(mesh: Mesh, app: App, name: Name) -> None:
    """Forget a Secret's values."""
    mesh.client.delete(_path(app, name))
    mesh.say({"deleted": name}, f"{name} is deleted")


def _path(app: str, *rest: str) -> str:
    return "/api/v1/apps" + path(app, "secrets", *rest)
