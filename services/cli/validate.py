"""`mlmesh validate`: checks manifests offline, exactly as a deployment does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import checkout, render, repository_checks
from services.cli.cli_errors import FAILED
from services.cli.service_factories import ServiceFactories

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
    factories: ServiceFactories = context.obj
    files = checkout.read_files(folder)
    sent = {**files.applied, **{file.as_posix(): checkout.read_content(file) for file in applied or ()}}
    repository = checkout.repository_root(folder)
    problems = factories.check_manifests(files.manifests, sent, repository)
    problems += repository_checks.check_repository(repository, files.root)
    errors = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        render.write_json([_problem_to_json(problem) for problem in problems])
    else:
        for problem in problems:
            render.write_lines(f"{problem}")
    if errors:
        raise typer.Exit(FAILED)
    if not as_json:
        render.write_note(f"{len(files.manifests)} file{'' if len(files.manifests) == 1 else 's'}, no errors")


def _problem_to_json(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
    }
