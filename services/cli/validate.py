"""`mlmesh validate`: manifests checked without a mesh, exactly as a deployment checks them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import checkout, render, repository_checks
from services.cli.cli_errors import FAILED
from services.cli.service_factories import Parts

if TYPE_CHECKING:
    from libs.common.manifests.problems import Problem

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="A module's repository, or its folder of manifests.")]
With = Annotated[
    list[Path] | None,
    typer.Option("--with", metavar="FILE", help="A file that mlmesh apply sends, as app.yaml is; may be repeated."),
]


def validate(
    context: typer.Context,
    folder: Folder = Path("."),
    applied: With = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check manifests and their references offline, with the Secrets of app.yaml at the repository's root."""
    parts: Parts = context.obj
    found = checkout.files(folder)
    sent = {**found.applied, **{file.as_posix(): checkout.content(file) for file in applied or ()}}
    problems = parts.check(found.manifests, sent)
    problems += repository_checks.beside(checkout.repository(folder), found.root)
    errors = [one for one in problems if one.severity == "error"]
    if as_json:
        render.document([_shown(one) for one in problems])
    else:
        for one in problems:
            render.write(f"{one}")
    if errors:
        raise typer.Exit(FAILED)
    if not as_json:
        render.note(f"{len(found.manifests)} file{'' if len(found.manifests) == 1 else 's'}, no errors")


def _shown(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
    }
