"""What a deployment would do: the manifests that it changes, the instances that it starts and stops, what stays."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.db import Database
from libs.common.http.response_shapes import AppName, Commit, response_shape
from libs.common.manifests.catalog import Catalog
from services.registry.checks.manifest_changes import compare_catalogs
from services.registry.checks.problems import ManifestProblemJson, problem_to_json
from services.registry.db import deployments
from services.registry.deployments.record import ChangesSinceJson
from services.registry.deployments.revision_reader import CheckedRevision

InstanceAction = Literal["start", "replace", "stop", "keep"]


@response_shape
class InstanceChangeJson(TypedDict):
    """What happens to the instances of a component. A new commit replaces those of every component."""

    component: Annotated[str, Field(examples=["classify"])]
    action: InstanceAction


@response_shape
class DiffJson(TypedDict):
    """What a deployment would do."""

    app: AppName
    commit: Commit | None
    """Null of files that are in no commit."""
    live_commit: Commit | None
    changes: ChangesSinceJson
    instances: list[InstanceChangeJson]
    boxes_kept: list[str]
    """Boxes that have data now, which stays: of boxes without a manifest, too."""
    warnings: list[ManifestProblemJson]


async def compare_with_live(database: Database, app: str, revision: CheckedRevision, commit: str | None) -> DiffJson:
    async with database.read() as conn:
        live = await deployments.get_live(conn, app)
        live_catalog = await deployments.get_live_catalog(conn, app)
    changes = (await asyncio.to_thread(compare_catalogs, live_catalog, revision.catalog)).to_json()
    live_commit = live.commit_id if live else None
    return {
        "app": app,
        "commit": commit,
        "live_commit": live_commit,
        "changes": {**changes, "since": live.id if live else None},
        "instances": list_instance_changes(live_catalog, revision.catalog, same_commit=commit == live_commit),
        "boxes_kept": sorted(live_catalog.boxes) if live_catalog else [],
        "warnings": [problem_to_json(warning) for warning in revision.warnings],
    }


def list_instance_changes(live: Catalog | None, new: Catalog, *, same_commit: bool) -> list[InstanceChangeJson]:
    """By component. `same_commit`: the commit that is live; an instance runs the code of one commit."""
    before, after = set(live.components) if live else set(), set(new.components)
    both: InstanceAction = "keep" if same_commit else "replace"
    actions: dict[str, InstanceAction] = {
        **dict.fromkeys(after - before, "start"),
        **dict.fromkeys(before & after, both),
        **dict.fromkeys(before - after, "stop"),
    }
    return [{"component": name, "action": action} for name, action in sorted(actions.items())]
