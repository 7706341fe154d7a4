"""`mlmesh validate`: manifests checked without a mesh, exactly as a deployment checks them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import render
from services.cli.failure import FAILED, Failure
from services.cli.parts import Parts

if TYPE_CHECKING:
    from libs.common.manifests.problems import Problem

SUFFIXES = (".yml", ".yaml")
DEFAULT_FOLDER = "manifests"
Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="A module's repository, or its folder of manifests.")]


def validate(
    context: typer.Context,
    folder: Folder = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check manifests and their references offline."""
    parts: Parts = context.obj
    files = dict(manifests(folder))
    problems = parts.check(files)
    errors = [one for one in problems if one.severity == "error"]
    if as_json:
        render.document([_shown(one) for one in problems])
    else:
        for one in problems:
            render.write(f"{one}")
    if errors:
        raise typer.Exit(FAILED)
    if not as_json:
        render.note(f"{len(files)} files, no errors")


def manifests(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The manifest files, named as a person here would open them.

    Of one that is too large a byte too much is read, so that the check itself says so.
    """
    from libs.common.manifests.reading import MAX_FILE

    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder")
    root = folder / DEFAULT_FOLDER if (folder / DEFAULT_FOLDER).is_dir() else folder
    files = sorted(file for file in root.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise Failure(f"no manifests: there is neither a folder {folder / DEFAULT_FOLDER} nor a *.yml file in {folder}")
    for file in files:
        with file.open("rb") as content:
            yield file.as_posix(), content.read(MAX_FILE + 1)


def _shown(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
    }
