"""`mlmesh init`: creates a module repository from a template of this package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from services.cli import render
from services.cli.cli_errors import Failure, WrongUsage

DEFAULT_TEMPLATE = "classifier"
LABEL_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder; its name is the app's.")],
    template: Annotated[str, typer.Option("--template", help="What to begin with.")] = DEFAULT_TEMPLATE,
) -> None:
    """Make a module repository that works at once, with tests."""
    names = list_templates()
    if template not in names:
        raise WrongUsage(f"there is no template {template!r}; the templates are {', '.join(names)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Failure(f"{folder} is not empty; choose a new folder")
    app = app_name(folder.resolve().name)
    for path, text in render_template(template, app, folder.resolve()):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    render.write_lines(f"{folder} is a module now; {folder / 'README.md'} says how to go on")


def list_templates() -> list[str]:
    return sorted(
        entry.name for entry in _templates_folder().iterdir() if entry.is_dir() and not entry.name.startswith("_")
    )


def app_name(folder: str) -> str:
    """The folder's name as a DNS label."""
    name = (
        "".join(letter if letter in LABEL_CHARACTERS else "-" for letter in folder.lower()).strip("-")[:63].strip("-")
    )
    if not name:
        raise WrongUsage(f"{folder!r} holds no letter or digit that an app's name could be made of")
    return name


def render_template(template: str, app: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Paths and texts of the files. The suffix `.in`, which hides templates from other tools, is removed."""
    for path, file in _walk_files(_templates_folder() / template):
        text = Template(file.read_text()).safe_substitute(app=app, url=folder.as_uri())
        yield path.removesuffix(".in"), text


def _walk_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _walk_files(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _templates_folder() -> Traversable:
    return files("services.cli") / "templates"
