"""`mlmesh diff`: what the deployment of a checkout, a branch, a tag or a commit would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import checkout, checkout_app, render, repository_checks
from services.cli.cli_errors import Failure, format_problem
from services.cli.client import url_path
from services.cli.deployment_view import change_lines, short_commit
from services.cli.service_factories import ServiceFactories
from services.cli.session import Mesh, mesh_command

CHANGES = 2
"""Exit code, as of `terraform plan -detailed-exitcode`."""
NOTHING_LIVE = "nothing: no deployment is live yet"
Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="A module's repository, or its folder of manifests.")]
AppOption = Annotated[
    str | None, typer.Option("--app", metavar="APP", help="Else as app.yaml, a manifest or Git's remote names it.")
]
Ref = Annotated[
    str | None,
    typer.Option("--ref", metavar="REF", help="A branch, tag or commit id of the app's repository, not the folder."),
]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="End with 2 when the deployment would do anything.")]


@mesh_command
def diff(
    mesh: Mesh,
    context: typer.Context,
    folder: Folder = Path("."),
    app: AppOption = None,
    ref: Ref = None,
    exit_code: ExitCode = False,
) -> None:
    """Show what a deployment would create, change, remove, start and stop. It changes nothing."""
    if ref is not None:
        preview = _preview_ref(mesh, folder, app, ref)
    else:
        preview = _preview_folder(mesh, context.obj, folder, app)
    mesh.print_sentence(preview, "\n".join(preview_lines(preview, "the folder" if ref is None else ref)))
    if exit_code and has_changes(preview):
        raise typer.Exit(CHANGES)


def _preview_ref(mesh: Mesh, folder: Path, app: str | None, ref: str) -> dict[str, Any]:
    name = app or checkout_app.find_app(checkout.read_files(folder), folder, mesh.client.url)
    preview: dict[str, Any] = mesh.client.get(f"/api/v1/apps{url_path(name, 'diff')}", ref=ref)
    return preview


def _preview_folder(mesh: Mesh, factories: ServiceFactories, folder: Path, app: str | None) -> dict[str, Any]:
    files = checkout.read_files(folder)
    root = checkout.repository_root(folder)
    name = app or checkout_app.find_app(files, folder, mesh.client.url)
    problems = [*factories.check_builds(files.manifests, root), *repository_checks.check_repository(root, files.root)]
    if errors := [problem for problem in problems if problem.severity == "error"]:
        raise Failure("\n".join(map(str, errors)))
    for problem in problems:
        render.write_note(str(problem))
    texts = {path: content.decode(errors="replace") for path, content in files.manifests.items()}
    body = {"files": texts, "path": files.root.as_posix(), "commit": checkout_app.read_clean_commit(root)}
    secrets = checkout_app.list_applied_secrets(files)
    preview: dict[str, Any] = mesh.client.post(f"/api/v1/apps{url_path(name, 'diff')}", {**body, "secrets": secrets})
    return preview


def has_changes(preview: Mapping[str, Any]) -> bool:
    return bool(preview["changes"]["items"]) or any(it["action"] != "keep" for it in preview["instances"])


def preview_lines(preview: Mapping[str, Any], source: str) -> Iterator[str]:
    """`source`: what is compared, when its commit is not known."""
    new = short_commit(preview["commit"]) or source
    live = f"{preview['live_commit'][:10]}, which is live" if preview["live_commit"] else NOTHING_LIVE
    yield f"{preview['app']}: {new} against {live}"
    yield from change_lines(preview["changes"])
    if not has_changes(preview):
        yield "  nothing changes"
    yield from _instance_lines(preview["instances"])
    if preview["boxes_kept"]:
        yield f"  data kept: {', '.join(preview['boxes_kept'])}"
    for warning in preview["warnings"]:
        yield f"  warning: {format_problem(warning)}"


def _instance_lines(instances: list[Mapping[str, Any]]) -> Iterator[str]:
    for action in ("start", "replace", "stop", "keep"):
        if names := [it["component"] for it in instances if it["action"] == action]:
            yield f"  instances: {action} {', '.join(names)}"
