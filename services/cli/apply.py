"""`mlmesh apply`: attach a module to a mesh."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.session import Mesh, mesh_command


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
