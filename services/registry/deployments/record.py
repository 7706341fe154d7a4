"""The record of a deployment: what became of it, and what it changes of the deployment before it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from libs.common.db import Database
from libs.common.http.response_shapes import response_shape
from libs.common.manifests.catalog import Catalog
from services.registry.checks.manifest_changes import ManifestChanges, ManifestChangesJson, compare_catalogs
from services.registry.db import deployments
from services.registry.deployments.state import Deployment, DeploymentJson

SECTIONS = ("components", "pipelines", "apis", "boxes")
"""The parts of a stored catalog that are manifests by name."""


@response_shape
class ChangesSinceJson(ManifestChangesJson):
    """What differs from the manifests of an earlier deployment."""

    since: str | None
    """The deployment that was live before; null when none was."""


@response_shape
class DeploymentRecordJson(DeploymentJson):
    """A deployment, and what it changes."""

    changes: ChangesSinceJson | None
    """Null until its manifests are valid."""


async def load_record(database: Database, deployment: Deployment) -> DeploymentRecordJson:
    if deployment.revision is None:
        return {**deployment.to_json(), "changes": None}
    async with database.read() as conn:
        before = await deployments.get_compared(conn, deployment)
        new = await deployments.get_catalog(conn, deployment.revision)
        old = await deployments.get_catalog(conn, before.revision) if before and before.revision else None
    manifest_changes = (await asyncio.to_thread(compare_stored, old, new)).to_json()
    changes: ChangesSinceJson = {**manifest_changes, "since": before.id if before else None}
    return {**deployment.to_json(), "changes": changes}


def compare_stored(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> ManifestChanges:
    """Of catalogs as they are stored: a field that an earlier release did not know gets its default.

    Reading a manifest takes long, and most are equal: only the others are read.
    """
    if old is None:
        return compare_catalogs(None, Catalog.from_json(new))
    names = {section: _list_differing(old[section], new[section]) for section in SECTIONS}
    before, after = (Catalog.from_json(_select_manifests(catalog, names)) for catalog in (old, new))
    return compare_catalogs(before, after)


def _list_differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _select_manifests(catalog: Mapping[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """The catalog with these manifests of each section."""
    sections = {
        section: {name: catalog[section][name] for name in names[section] if name in catalog[section]}
        for section in SECTIONS
    }
    return {**catalog, **sections}
