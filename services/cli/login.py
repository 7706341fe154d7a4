"""`mlmesh login` and `mlmesh logout`: which mesh, and as whom."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from services.cli import profile, render
from services.cli.cli_errors import WrongUsage
from services.cli.client import Client
from services.cli.secret_input import read_secret_text
from services.cli.session import Mesh, mesh_command

TOKEN_ADVICE = "nothing is written; an operator makes tokens with: mlmesh token create NAME --scope write:APP"  # noqa: S105
PASSWORD_ADVICE = "nothing is written; an administrator lets you choose a password with: mlmesh user invite NAME"  # noqa: S105


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the mesh.")],
    token: Annotated[str | None, typer.Option("--token", help="Else it is read from standard input.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Sign in with a password instead.")] = None,
    invitation: Annotated[
        str | None, typer.Option("--invitation", metavar="TOKEN", help="Accept it: choose a password.")
    ] = None,
) -> None:
    """Remember a mesh and a token for it, for this user."""
    if sum(option is not None for option in (token, user, invitation)) > 1:
        raise WrongUsage("give one of --token, --user and --invitation")
    address = profile.load_profile({}, url).url
    if user is None and invitation is None:
        text = token or read_secret_text("token")
        Client(profile.Profile(address, text), TOKEN_ADVICE).get("/api/v1/apps")
    else:
        text = sign_in(address, user, invitation)
    render.write_lines(f"written to {profile.save_profile(os.environ, profile.Profile(address, text))}")


def sign_in(address: str, user: str | None, invitation: str | None) -> str:
    """The token of a new session."""
    client = Client(profile.Profile(address, ""), PASSWORD_ADVICE)
    if invitation is not None:
        password = read_secret_text("new password")
        opened = client.post("/api/v1/setup", {"token": invitation, "password": password})
    else:
        opened = client.post("/api/v1/sessions", {"name": user, "password": read_secret_text("password")})
    return str(opened["token"])


@mesh_command
def logout(mesh: Mesh) -> None:
    """End this session, and forget its token; a token of an operator is only forgotten."""
    me = mesh.client.get("/api/v1/me")
    if me["name"] and not me["token"]:
        mesh.client.delete("/api/v1/sessions/current")
    profile.forget_token(os.environ, mesh.client.url)
    mesh.print_sentence({"url": mesh.client.url, "user": me["name"]}, f"signed out of {mesh.client.url}")
