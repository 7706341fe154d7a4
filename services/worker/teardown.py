"""Counts and removes what a stopped mesh leaves on a Docker Engine; its containers keep running for the next start."""

from __future__ import annotations

from pathlib import Path

from libs.common.errors import Conflict, NotFound
from libs.common.settings import Settings
from services.worker.context import get_installation_id
from services.worker.runtime.docker.built_images import BuiltImages
from services.worker.runtime.docker.client import (
    EngineRefused,
    call_engine,
    list_containers,
    list_networks,
    open_engine,
)

NOT_ON_THIS_HOST = Path("/nonexistent")
"""Instead of the engine's folder: how full its disk is does not matter here."""


async def count(settings: Settings) -> int:
    """Count the running task containers of this installation. Raises MeshError if the engine does not respond."""
    async with open_engine(settings.runtime) as docker:
        return len(await list_containers(docker, _installation_label(settings), "mlmesh.worker", running=True))


async def remove(settings: Settings, *, images: bool = False) -> tuple[int, int, int]:
    """Remove all containers and networks of this installation, and with `images` those that it built.

    Return how many task containers, networks and built images there were. Raises MeshError if the engine does not
    respond.
    """
    async with open_engine(settings.runtime) as docker:
        tasks = len(await list_containers(docker, _installation_label(settings), "mlmesh.worker"))
        for container in await list_containers(docker, _installation_label(settings)):
            try:
                await call_engine(container.delete(force=True, v=True))
            except (NotFound, Conflict):
                continue  # already removed, or being removed
        networks = await list_networks(docker, _installation_label(settings))
        for network in networks:
            try:
                await call_engine((await call_engine(docker.networks.get(network["Id"]))).delete())
            except NotFound:
                continue
            except (Conflict, EngineRefused) as error:
                raise Conflict(f"network {network['Name']} is in use: {error.detail}") from error
        built_images = BuiltImages(docker, get_installation_id(settings.internal_token), NOT_ON_THIS_HOST)
        built = {image.id for image in await built_images.list_images()}
        for image in built if images else ():
            await built_images.remove(image)
        return tasks, len(networks), len(built)


def _installation_label(settings: Settings) -> str:
    return f"mlmesh.installation={get_installation_id(settings.internal_token)}"
