"""Images on this host: what is there is used, what is missing is pulled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from aiodocker import Docker, DockerError

from libs.common.errors import MeshError, NotFound, Unavailable
from services.worker.runtime import CannotRun, Progress
from services.worker.runtime.docker.client import answered, fault

SURE_S = 5.0
"""How long an image that was there is taken to be there."""
STALL_S = 120.0
"""How long a pull may stand still; what it takes in all does not matter."""


class Images:
    def __init__(self, docker: Docker, stall: float = STALL_S) -> None:
        self._docker = docker
        self._stall = stall
        self._known: dict[str, tuple[float, str]] = {}

    async def identity(self, name: str) -> str:
        """What exactly `name` is here: the id that a container is made from. Raises NotFound."""
        found = await answered(self._docker.images.inspect(name))
        return str(found["Id"])

    async def have(self, name: str, progress: Progress, login: Mapping[str, str] | None = None) -> str:
        """The image's id, pulled if need be, as who `login` says. Raises CannotRun("image") with the engine's words."""
        try:
            known = self._known.get(name)
            if known is not None and time.monotonic() - known[0] < SURE_S:
                return known[1]
            try:
                found = await self.identity(name)
            except NotFound:
                await self._pull(name, progress, login)
                found = await self.identity(name)
            self._known[name] = time.monotonic(), found
            return found
        except MeshError as error:
            if error.retryable or isinstance(error, CannotRun):
                raise
            raise CannotRun("image", f"the image {name} cannot be had: {error.detail}") from error

    async def _pull(self, name: str, progress: Progress, login: Mapping[str, str] | None) -> None:
        progress(f"pulling {name}")
        steps = aiter(self._docker.images.pull(name, auth=dict(login) if login else None, stream=True))
        layers: dict[str, dict[str, Any]] = {}
        while (step := await self._next(name, steps)) is not None:
            if step.get("error"):
                raise CannotRun("image", f"the image {name} cannot be pulled: {step['error']}")
            if step.get("id"):
                layers[step["id"]] = step
                progress(f"pulling {name}: {summary(layers)}")

    async def _next(self, name: str, steps: AsyncIterator[dict[str, Any]]) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(self._stall):
                return await anext(steps, None)
        except TimeoutError as error:
            raise CannotRun("image", f"the pull of {name} stood still for {self._stall:g} s") from error
        except DockerError as error:
            if isinstance(found := fault(error), Unavailable):
                raise found from error
            raise CannotRun("image", f"the image {name} cannot be pulled: {error.message}") from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"the pull of {name} broke off: {error}") from error


def summary(layers: dict[str, dict[str, Any]]) -> str:
    """`3 of 7 layers, 12 of 80 MB`, from the last word about each layer."""
    done = sum(step.get("status") in ("Pull complete", "Already exists") for step in layers.values())
    sizes = [step.get("progressDetail") or {} for step in layers.values() if step.get("status") == "Downloading"]
    text = f"{done} of {len(layers)} layers"
    if not sizes:
        return text
    current, total = (sum(one.get(key) or 0 for one in sizes) / 1e6 for key in ("current", "total"))
    return f"{text}, {current:.0f} of {total:.0f} MB"
