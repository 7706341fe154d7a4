"""`mlmesh init`: a module repository that works at once, from a template of this package."""

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

DEFAULT = "classifier"
PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789-"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder; its name is the app's.")],
    template: Annotated[str, typer.Option("--template", help="What to begin with.")] = DEFAULT,
) -> None:
    """Make a module repository that works at once, with tests."""
    known = templates()
    if template not in known:
        raise WrongUsage(f"there is no template {template!r}; the templates are {', '.join(known)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Failure(f"{folder} is not empty; choose a new folder")
    app = app_name(folder.resolve().name)
    for path, text in rendered(template, app, folder.resolve()):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    render.write(f"{folder} is a module now; {folder / 'README.md'} says how to go on")


def templates() -> list[str]:
    return sorted(found.name for found in _root().iterdir() if found.is_dir() and not found.name.startswith("_"))


def app_name(folder: str) -> str:
    """The folder's name as a DNS label."""
    name = "".join(letter if letter in PLAIN else "-" for letter in folder.lower()).strip("-")[:63].strip("-")
    if not name:
        raise WrongUsage(f"{folder!r} holds no letter or digit that an app's name could be made of")
    return name


def rendered(template: str, app: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Paths and texts; `.in` is dropped from names (so that no tool takes a template for the thing itself)."""
    for path, found in _files(_root() / template):
        text = Template(found.read_text()).safe_substitute(app=app, url=folder.as_uri())
        yield path.removesuffix(".in"), text


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for found in sorted(folder.iterdir(), key=lambda one: one.name):
        if found.name == "__pycache__":
            continue
        if found.is_dir():
            yield from _files(found, f"{prefix}{found.name}/")
        else:
            yield f"{prefix}{found.name}", found


def _root() -> Traversable:
    return files("services.cli") / "templates"
