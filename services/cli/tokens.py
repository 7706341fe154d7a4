"""`mlmesh token` and `mlmesh key`: credentials of operators, and of an app's callers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.cli import render, times
from services.cli.client import path
from services.cli.session import App, Mesh, field, talks

tokens = typer.Typer(help="Credentials of operators and developers.", no_args_is_help=True)
keys = typer.Typer(help="API keys of an app's callers.", no_args_is_help=True)
TOKENS = "/api/v1/tokens"
Scopes = Annotated[
    list[str], typer.Option("--scope", metavar="SCOPE", help="admin, read, write, read:APP or write:APP; repeatable.")
]
Expires = Annotated[str | None, typer.Option("--expires-in", help="Such as 12h or 90d; default: never.")]


@tokens.command("create")
@talks
def create(mesh: Mesh, name: str, scopes: Scopes, expires_in: Expires = None) -> None:
    """Make a token; it is shown this once."""
    body: dict[str, Any] = {"name": name, "scopes": scopes}
    made = mesh.client.post(TOKENS, body | ({"expires_in": expires_in} if expires_in else {}))
    _once(mesh, made, "token")


@tokens.command("list")
@talks
def listed(mesh: Mesh) -> None:
    """All tokens, without their texts."""
    mesh.table(
        list(mesh.client.pages(TOKENS)),
        id=field("id"),
        name=field("name"),
        scopes=lambda one: " ".join(one["scopes"]),
        created=lambda one: times.age(one.get("created_at")),
        expires=lambda one: times.age(one.get("expires_at")),
    )


@tokens.command("revoke")
@talks
def revoke(mesh: Mesh, token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")]) -> None:
    """End a token."""
    mesh.client.delete(TOKENS + path(token))
    mesh.say({"revoked": token}, f"{token} is revoked; it works for one more minute at most")


@keys.command("create")
@talks
def create_key(mesh: Mesh, app: App, user: Annotated[str, typer.Option("--user", help="Who its bearer is.")]) -> None:
    """Make an API key; it is shown this once."""
    _once(mesh, mesh.client.post(_keys(app), {"user": user}), "key")


@keys.command("list")
@talks
def listed_keys(mesh: Mesh, app: App) -> None:
    """All API keys of an app, without their texts."""
    mesh.table(
        list(mesh.client.pages(_keys(app))),
        id=field("id"),
        user=field("user"),
        created=lambda one: times.age(one.get("created_at")),
    )


@keys.command("revoke")
@talks
def revoke_key(mesh: Mesh, app: App, key: Annotated[str, typer.Argument(metavar="KEY", help="Its id.")]) -> None:
    """End an API key."""
    mesh.client.delete(_keys(app) + path(key))
    mesh.say({"revoked": key}, f"{key} is revoked")


def _once(mesh: Mesh, made: dict[str, Any], name: str) -> None:
    """The secret text alone on stdout, so that it can be captured."""
    mesh.say(made, made[name])
    if not mesh.as_json:
        render.note(f"this {name} is not shown again")


def _keys(app: str) -> str:
    return "/api/v1/apps" + path(app, "keys")
