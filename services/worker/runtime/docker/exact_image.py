"""Exact images: what a name means on an engine, by digest or id, and which failures of a pull are final. Pure."""

from __future__ import annotations

import re

from libs.common.manifests.images import ImageReference
from services.worker.runtime.docker.engine_api import ImageDetails

IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
FINAL = re.compile(
    r"denied|unauthorized|authentication required|no basic auth|not found|manifest unknown|name unknown"
    r"|invalid reference|no matching manifest|no space left",
    re.IGNORECASE,
)
"""Words of an engine or an image registry after which another try of a pull would end alike."""


def exact_image(name: str, image: ImageDetails) -> str:
    """`name@sha256:…` if a registry has the image under this name, else the id by which only this engine knows it."""
    if IMAGE_ID.fullmatch(name):
        return image["Id"]
    reference = ImageReference.parse(name)
    digest = reference.digest or _find_digest(reference.name, image)
    return str(ImageReference(reference.name, digest=digest)) if digest else image["Id"]


def _find_digest(repository: str, image: ImageDetails) -> str | None:
    for entry in image["RepoDigests"] or ():
        entry_repository, _, digest = entry.partition("@")
        if short_name(entry_repository) == short_name(repository):
            return digest
    return None


def short_name(repository: str) -> str:
    """As an engine shows it: without Docker Hub's host, and without `library/` there."""
    for host in ("docker.io/", "index.docker.io/"):
        repository = repository.removeprefix(host)
    return repository.removeprefix("library/")
