"""`mlmesh token`, `mlmesh personal-token`, `mlmesh key`: credentials of operators, people, and an app's callers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.cli import render, times
from services.cli.client import url_path
from services.cli.session import App, Mesh, field, mesh_command

tokens = typer.Typer(help="Credentials of operators and developers.", no_args_is_help=True)
personal_tokens = typer.Typer(help="One's own tokens, for programs.", no_args_is_help=True)
keys = typer.Typer(help="API keys of an app's callers.", no_args_is_help=True)
TOKENS, OWN_TOKENS = "/api/v1/tokens", "/api/v1/me/tokens"
Scopes = Annotated[
    list[str],
    typer.Option(
        "--scope", metavar="SCOPE", help="admin, read, develop or write, for one app as in write:APP; repeatable."
    ),
]
Expires = Annotated[str | None, typer.Option("--expires-in", help="Such as 12h or 90d; default: never.")]


@tokens.command("create")
@mesh_command
def create_token(mesh: Mesh, name: str, scopes: Scopes, expires_in: Expires = None) -> None:
    """Make a token; it is shown this once."""
    body: dict[str, object] = {"name": name, "scopes": scopes}
    token = mesh.client.post(TOKENS, body | ({"expires_in": expires_in} if expires_in else {}))
    _print_once(mesh, token, "token")


@tokens.command("list")
@mesh_command
def list_tokens(mesh: Mesh) -> None:
    """All tokens, without their texts."""
    mesh.print_table(
        list(mesh.client.iterate_pages(TOKENS)),
        id=field("id"),
        name=field("name"),
        scopes=lambda token: " ".join(token["scopes"]),
        created=lambda token: times.format_age(token.get("created_at")),
        expires=lambda token: times.format_age(token.get("expires_at")),
    )


@tokens.command("revoke")
@mesh_command
def revoke_token(mesh: Mesh, token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")]) -> None:
    """End a token."""
    mesh.client.delete(TOKENS + url_path(token))
    mesh.print_sentence({"revoked": token}, f"{token} is revoked; it works for one more minute at most")


@personal_tokens.command("create")
@mesh_command
def create_personal_token(
    mesh: Mesh,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", metavar="SCOPE", help="Such as call:APP; default: all that you may.")
    ] = None,
    expires_in: Expires = None,
) -> None:
    """Make a token, which never may more than you; it is shown this once."""
    body: dict[str, object] = {"name": name, **({"scopes": scopes} if scopes else {})}
    token = mesh.client.post(OWN_TOKENS, body | ({"expires_in": expires_in} if expires_in else {}))
    _print_once(mesh, token, "token")


@personal_tokens.command("list")
@mesh_command
def list_personal_tokens(mesh: Mesh) -> None:
    """Your tokens, without their texts."""
    mesh.print_table(
        list(mesh.client.iterate_pages(OWN_TOKENS)),
        id=field("id"),
        name=field("name"),
        scopes=lambda token: "all" if token["scopes"] is None else " ".join(token["scopes"]),
        used=lambda token: times.format_age(token["used_at"]),
        expires=lambda token: times.format_age(token["expires_at"]),
    )


@personal_tokens.command("revoke")
@mesh_command
def revoke_personal_token(
    mesh: Mesh, token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")]
) -> None:
    """End a token of yours."""
    mesh.client.delete(OWN_TOKENS + url_path(token))
    mesh.print_sentence({"revoked": token}, f"{token} is revoked")


@keys.command("create")
@mesh_command
def create_key(mesh: Mesh, app: App, user: Annotated[str, typer.Option("--user", help="Who its bearer is.")]) -> None:
    """Make an API key; it is shown this once."""
    _print_once(mesh, mesh.client.post(_keys_path(app), {"user": user}), "key")


@keys.command("list")
@mesh_command
def list_keys(mesh: Mesh, app: App) -> None:
    """All API keys of an app, without their texts."""
    mesh.print_table(
        list(mesh.client.iterate_pages(_keys_path(app))),
        id=field("id"),
        user=field("user"),
        created=lambda key: times.format_age(key.get("created_at")),
    )


@keys.command("revoke")
@mesh_command
def revoke_key(mesh: Mesh, app: App, key: Annotated[str, typer.Argument(metavar="KEY", help="Its id.")]) -> None:
    """End an API key."""
    mesh.client.delete(_keys_path(app) + url_path(key))
    mesh.print_sentence({"revoked": key}, f"{key} is revoked")


def _print_once(mesh: Mesh, credential: dict[str, Any], name: str) -> None:
    """Print only the secret on stdout, so that scripts can capture it."""
    mesh.print_sentence(credential, credential[name])
    if not mesh.as_json:
        render.write_note(f"this {name} is not shown again")


def _keys_path(app: str) -> str:
    return "/api/v1/apps" + url_path(app, "keys")
