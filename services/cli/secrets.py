"""`mlmesh secret`: secret values, which can be written but not read."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from services.cli import times
from services.cli.cli_errors import Failure, WrongUsage
from services.cli.client import url_path
from services.cli.secret_input import read_secret_text
from services.cli.session import App, Mesh, field, mesh_command

nouns = typer.Typer(help="Secret values: they go in and never come out.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The Secret's name.")]


@nouns.command("set")
@mesh_command
def set_values(
    mesh: Mesh,
    app: App,
    name: Name,
    pairs: Annotated[list[str], typer.Argument(metavar="KEY[=VALUE]...", help="Without =VALUE it is asked for.")],
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="Take KEY= as an empty value.")] = False,
) -> None:
    """Set values; without =VALUE from standard input or, on a terminal, from a prompt."""
    empty = [pair[:-1] for pair in pairs if pair.find("=") == len(pair) - 1]
    if empty and not allow_empty:
        raise WrongUsage(
            f"{', '.join(empty)}: the value after = is empty (is a shell variable unset?); "
            "for an empty value on purpose add --allow-empty"
        )
    if sum("=" not in pair for pair in pairs) > 1 and not sys.stdin.isatty():
        raise WrongUsage("standard input can give one value; write KEY=VALUE for the others")
    data = {
        key: value if equals else read_secret_text(key)
        for key, equals, value in (pair.partition("=") for pair in pairs)
    }
    mesh.client.put(_secret_path(app, name), {"data": data})
    mesh.print_sentence({"secret": name, "keys": sorted(data)}, f"{name}: {', '.join(sorted(data))} set")


@nouns.command("list")
@mesh_command
def list_secrets(mesh: Mesh, app: App) -> None:
    """Secrets of an app, and which of their keys still have no value."""
    mesh.print_table(
        list(mesh.client.iterate_pages(_secret_path(app))),
        name=field("name"),
        keys=lambda secret: ", ".join(secret["keys"]),
        missing=lambda secret: ", ".join(secret["missing"]),
        updated=lambda secret: times.format_age(secret.get("updated_at")),
    )


@nouns.command("unset")
@mesh_command
def unset_values(
    mesh: Mesh, app: App, name: Name, keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Which keys.")]
) -> None:
    """Forget the values of some keys; the others stay."""
    for key in keys:
        mesh.client.delete(_secret_path(app, name, key))
    mesh.print_sentence({"secret": name, "unset": sorted(keys)}, f"{name}: {', '.join(sorted(keys))} unset")


@nouns.command("delete")
@mesh_command
def delete_secret(mesh: Mesh, app: App, name: Name) -> None:
    """Forget a Secret's values."""
    mesh.client.delete(_secret_path(app, name))
    mesh.print_sentence({"deleted": name}, f"{name} is deleted")


@nouns.command("rekey")
@mesh_command
def rekey_secrets(mesh: Mesh) -> None:
    """Encrypt the values of all apps with the mesh's new MLMESH_SECRET_KEY."""
    result = mesh.client.post("/api/v1/secrets/rekey")
    done = f"{result['reencrypted']} values have the new key, {result['current']} had it already"
    if result["unreadable"]:
        places = ", ".join("/".join(filter(None, (v["app"], v["name"], v["key"]))) for v in result["unreadable"])
        raise Failure(
            f"{done}; neither MLMESH_SECRET_KEY nor MLMESH_SECRET_KEY_OLD opens: {places}; start the mesh with the "
            "former key in MLMESH_SECRET_KEY_OLD and repeat this; if that key is lost, set these again"
        )
    mesh.print_sentence(result, f"{done}; MLMESH_SECRET_KEY_OLD is not needed any more")


def _secret_path(app: str, *segments: str) -> str:
    return "/api/v1/apps" + url_path(app, "secrets", *segments)
