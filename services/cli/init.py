"""`mlmesh init`: creates a module repository from a template."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from libs.common.errors import Invalid, NotFound
from libs.common.templates.template import Repository, get_template, list_templates
from services.cli import render
from services.cli.arguments import parse_assignments
from services.cli.cli_errors import Failure, WrongUsage
from services.cli.profile import load_profile

DEFAULT_TEMPLATE = "classifier"
LABEL_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
APP_FILE = """\
# Attaches this folder to a mesh: mlmesh apply -f app.yaml. Not in Git: a repository cannot say where it lives.
apiVersion: mlmesh/v1
kind: PlatformApp
metadata: {{name: {app}}}
spec: {{title: {title}}}
---
apiVersion: mlmesh/v1
kind: Repository
metadata: {{name: {app}, namespace: {app}}}
spec:
  url: "{url}"
  branch: main
"""
Template = Annotated[str, typer.Option("--template", metavar="NAME", help="What to begin with.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", metavar="NAME=VALUE", help="Of the template. Repeatable."),
]


def _list_and_exit(is_wanted: bool) -> None:
    if is_wanted:
        rows = [[template.name, template.description.description.en] for template in list_templates()]
        render.write_table(["NAME", "DESCRIPTION"], rows)
        raise typer.Exit


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder; its name is the app's.")],
    template: Template = DEFAULT_TEMPLATE,
    parameters: Parameters = None,
    list_: Annotated[
        bool, typer.Option("--list", callback=_list_and_exit, is_eager=True, help="List the templates, and end.")
    ] = False,
) -> None:
    """Make a module repository that works at once, with tests."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Failure(f"{folder} is not empty; choose a new folder")
    app = app_name(folder.resolve().name)
    repository = Repository(app, app, load_profile(os.environ).url)
    try:
        files = get_template(template).render(repository, dict(parse_assignments(parameters or ())))
    except (Invalid, NotFound) as error:
        raise WrongUsage(error.detail) from error
    app_file = APP_FILE.format(app=app, title=json.dumps(app), url=folder.resolve().as_uri())
    for path, content in {**files, "app.yaml": app_file.encode()}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    render.write_lines(f"{folder} is a module now; {folder / 'README.md'} says how to go on")


def app_name(folder: str) -> str:
    """The folder's name as a DNS label."""
    name = (
        "".join(letter if letter in LABEL_CHARACTERS else "-" for letter in folder.lower()).strip("-")[:63].strip("-")
    )
    if not name:
        raise WrongUsage(f"{folder!r} holds no letter or digit that an app's name could be made of")
    return name
