"""`mlmesh template`: what an app may begin with."""

from __future__ import annotations

from typing import Any

import typer

from services.cli.session import Mesh, field, mesh_command

nouns = typer.Typer(help="What an app may begin with.", no_args_is_help=True)
TEMPLATES = "/api/v1/templates"


@nouns.callback()
def template() -> None:
    """Makes `list` a word of its own."""


@nouns.command("list")
@mesh_command
def list_templates(mesh: Mesh) -> None:
    """The templates of the mesh, for mlmesh app create; mlmesh init --list has those of this command."""
    mesh.print_table(
        list(mesh.client.iterate_pages(TEMPLATES)),
        name=field("name"),
        title=lambda item: item["title"]["en"],
        description=lambda item: item["description"]["en"],
        parameters=_parameters_text,
    )


def _parameters_text(template: dict[str, Any]) -> str:
    return ", ".join(f"{item['name']} ({item['default']})" for item in template["parameters"])
