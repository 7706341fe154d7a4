"""`mlmesh promote`: deploys in one app the commit that is live in another one."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import deployments, times
from services.cli.client import url_path
from services.cli.session import Mesh, mesh_command


@mesh_command
def promote(
    mesh: Mesh,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The app in which the commit is live.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The app to deploy it in.")],
    commit: Annotated[
        str | None, typer.Option("--commit", metavar="COMMIT", help="Another one that was live there; 7 letters do.")
    ] = None,
    wait: deployments.Wait = False,
    timeout: deployments.Timeout = deployments.DEFAULT_TIMEOUT,
) -> None:
    """Deploy in TO the commit that is live in FROM, on the same images."""
    within = times.parse_duration(timeout) if wait else None
    body = {"from": source, **({"commit": commit} if commit else {})}
    started = mesh.client.post(f"/api/v1/apps{url_path(target)}/promote", body)
    deployments.follow_deployment(mesh, target, started, within)
