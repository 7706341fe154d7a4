"""`apply` and `login`: how a module, and a person, get to a mesh."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import profile, render
from services.cli.cli_errors import Failure
from services.cli.client import Client
from services.cli.session import Mesh, talks


@talks
def apply(
    mesh: Mesh,
    file: Annotated[Path, typer.Option("--file", "-f", help="PlatformApp, Repository, Secrets; - is standard input.")],
) -> None:
    """Attach a module: send its PlatformApp, Repository and Secret declarations."""
    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    headers = {"Content-Type": "application/yaml"}
    with mesh.client.open("POST", "/api/v1/apply", text, headers=headers, params={"file": file.name}) as answer:
        applied = answer.json()
    mesh.say(applied, "\n".join(_lines(applied)))


def _lines(applied: dict[str, Any]) -> list[str]:
    lines = [f"{one['kind']} {one['name']}: {one['action']}" for one in applied["applied"]]
    if hook := applied.get("webhook"):
        lines += ["webhook, shown this once:", f"  url     {hook['url']}", f"  secret  {hook['secret']}"]
    return lines


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the mesh.")],
    token: Annotated[str | None, typer.Option("--token", help="Else it is read from standard input.")] = None,
) -> None:
    """Remember a mesh and a token for it, for this user."""
    known = profile.Profile(profile.load({}, url).url, token or asked("token"))
    Client(known).get("/api/v1/apps")
    render.write(f"written to {profile.save(os.environ, known)}")


def asked(what: str) -> str:
    """A secret text: typed unseen on a terminal, else all of standard input but the end of its last line."""
    try:
        shown = f"{what} (typed unseen)"
        value = typer.prompt(shown, hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    except typer.Abort:
        value = ""
    if not value.strip():
        raise Failure(f"no {what} was given")
    return str(value).removesuffix("\n").removesuffix("\r")
