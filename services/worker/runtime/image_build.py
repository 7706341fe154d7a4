"""What a runtime needs to build an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Output = Callable[[bytes], None]
"""Takes what a build writes, piece by piece."""


APP_LABEL, KEY_LABEL, MESH_LABEL = "mlmesh.app", "mlmesh.key", "mlmesh.installation"
"""Labels of built images."""


@dataclass(frozen=True)
class BuiltImage:
    """An image on the engine that was built for an app of this mesh."""

    id: str
    app: str
    key: str


@dataclass(frozen=True, kw_only=True)
class ImageBuild:
    """One build. `app` owns the caches that it fills, so that no other app reads them."""

    app: str
    context: Path
    """All that the build sees."""
    dockerfile: Path
    tag: str
    """Keeps the engine from removing the image as a dangling one."""
    labels: Mapping[str, str]
    args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    """Files by their id, `<secret>/<key>`."""
    has_network: bool = True
    repository: str | None = None
    """Where the image is pushed to in an image registry."""
