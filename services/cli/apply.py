"""`mlmesh apply` and `mlmesh login`: attach a module to a mesh, and store a user's token."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import profile, render
from services.cli.cli_errors import Failure
from services.cli.client import Client
from services.cli.session import Mesh, mesh_command

LOGIN_ADVICE = "nothing is written; an operator makes tokens with: mlmesh token create NAME --scope write:APP"


@mesh_command
def apply(
    mesh: Mesh,
    file: Annotated[Path, typer.Option("--file", "-f", help="PlatformApp, Repository, Secrets; - is standard input.")],
) -> None:
    """Attach a module: send its PlatformApp, Repository and Secret declarations."""
    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    headers = {"Content-Type": "application/yaml"}
    with mesh.client.open_response(
        "POST", "/api/v1/apply", text, headers=headers, params={"file": file.name}
    ) as response:
        applied = response.json()
    mesh.print_sentence(applied, "\n".join(_applied_lines(applied)))


def _applied_lines(applied: dict[str, Any]) -> list[str]:
    lines = [f"{resource['kind']} {resource['name']}: {resource['action']}" for resource in applied["applied"]]
    if push := applied.get("push"):
        lines.append(f"push to it with: git push {push['url']} {push['branch'] or 'TAG'}")
    if hook := applied.get("webhook"):
        lines += ["webhook, shown this once:", f"  url     {hook['url']}", f"  secret  {hook['secret']}"]
    return lines


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the mesh.")],
    token: Annotated[str | None, typer.Option("--token", help="Else it is read from standard input.")] = None,
) -> None:
    """Remember a mesh and a token for it, for this user."""
    mesh_profile = profile.Profile(profile.load_profile({}, url).url, token or read_secret_text("token"))
    Client(mesh_profile, LOGIN_ADVICE).get("/api/v1/apps")
    render.write_lines(f"written to {profile.save_profile(os.environ, mesh_profile)}")


def read_secret_text(what: str) -> str:
    """Read a secret: from a prompt without echo, else all of standard input without its last line break."""
    try:
        prompt = f"{what} (typed unseen)"
        value = typer.prompt(prompt, hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    except typer.Abort:
        value = ""
    if not value.strip():
        raise Failure(f"no {what} was given")
    return str(value).removesuffix("\n").removesuffix("\r")
