"""Images on the engine: missing ones are pulled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import cast

import aiohttp
from aiodocker import Docker, DockerError

from libs.common.errors import MeshError, NotFound, Unavailable
from services.worker.runtime import Progress, RuntimeFailure
from services.worker.runtime.docker.client import call_engine, translate_error
from services.worker.runtime.docker.engine_api import ImageDetails, PullEvent
from services.worker.runtime.docker.exact_image import FINAL, IMAGE_ID, exact_image

Login = Mapping[str, str]
"""`username` and `password` of an image registry."""
PUSHED_TAG = "built"
CACHE_S = 5.0
"""How long an image id is cached."""
STALL_TIMEOUT_S = 120.0
"""How long a pull may stall; its total time is not limited."""
NO_REGISTRY = (
    "the Docker Engine of this worker does not have the image {}, which no image registry had at the deployment; "
    "deploy again if it is built (mlmesh app sync), else push it to one and deploy again, or load it here (docker load)"
)


class Images:
    def __init__(self, docker: Docker, stall_timeout: float = STALL_TIMEOUT_S) -> None:
        self._docker = docker
        self._stall_timeout = stall_timeout
        self._cache: dict[str, tuple[float, str]] = {}

    async def ensure_image(self, name: str, progress: Progress, login: Login | None = None) -> str:
        """Return the image's id; pull the image if it is missing. Raises RuntimeFailure("image")."""
        cached = self._cache.get(name)
        if cached is not None and time.monotonic() - cached[0] < CACHE_S:
            return cached[1]
        image = await self._get_image(name, progress, login)
        self._cache[name] = time.monotonic(), image["Id"]
        return image["Id"]

    async def resolve_image(self, name: str, progress: Progress, login: Login | None = None) -> str:
        """Return the exact image that `name` means now; pull it if it is missing. Raises RuntimeFailure("image")."""
        return exact_image(name, await self._get_image(name, progress, login))

    async def push_image(self, image_id: str, repository: str, progress: Progress, login: Login | None) -> str:
        """Push the image and return `repository@sha256:…`. Raises RuntimeFailure("image")."""
        progress(f"pushing {repository}")
        await call_engine(self._docker.images.tag(image_id, repository, tag=PUSHED_TAG))
        push = self._docker.images.push(repository, tag=PUSHED_TAG, auth=dict(login) if login else None, stream=True)
        events, digest = cast(AsyncIterator[PullEvent], aiter(push)), ""
        while (event := await self._next_event(f"push of {repository}", events)) is not None:
            if event.get("error"):
                raise transfer_failure(f"push the image {repository}", event["error"])
            digest = (event.get("aux") or {}).get("Digest") or digest
        if not digest:
            raise RuntimeFailure("image", f"the push of {repository} ended without a digest")
        return f"{repository}@{digest}"

    async def _get_image(self, name: str, progress: Progress, login: Login | None) -> ImageDetails:
        try:
            try:
                return await self._inspect(name)
            except NotFound:
                await self._pull_image(name, progress, login)
                return await self._inspect(name)
        except MeshError as error:
            if error.retryable or isinstance(error, RuntimeFailure):
                raise
            raise RuntimeFailure("image", f"cannot get the image {name}: {error.detail}") from error

    async def _inspect(self, name: str) -> ImageDetails:
        """Raises NotFound if the engine does not have it."""
        return cast(ImageDetails, await call_engine(self._docker.images.inspect(name)))

    async def _pull_image(self, name: str, progress: Progress, login: Login | None) -> None:
        if IMAGE_ID.fullmatch(name):
            raise RuntimeFailure("image", NO_REGISTRY.format(name))
        progress(f"pulling {name}")
        pull = self._docker.images.pull(name, auth=dict(login) if login else None, stream=True)
        events = cast(AsyncIterator[PullEvent], aiter(pull))
        layers: dict[str, PullEvent] = {}
        while (event := await self._next_event(f"pull of {name}", events)) is not None:
            if event.get("error"):
                raise transfer_failure(f"pull the image {name}", event["error"])
            if event.get("id"):
                layers[event["id"]] = event
                progress(f"pulling {name}: {pull_summary(layers)}")

    async def _next_event(self, transfer: str, events: AsyncIterator[PullEvent]) -> PullEvent | None:
        """`transfer`: `pull of team/app:1`."""
        try:
            async with asyncio.timeout(self._stall_timeout):
                return await anext(events, None)
        except TimeoutError as error:
            raise RuntimeFailure("image", f"the {transfer} stalled for {self._stall_timeout:g} s") from error
        except DockerError as error:
            if isinstance(translated := translate_error(error), Unavailable):
                raise translated from error
            raise transfer_failure(transfer.replace(" of ", " the image ", 1), error.message) from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"the {transfer} was interrupted: {error}") from error


def transfer_failure(action: str, message: str) -> RuntimeFailure:
    """The failure of a pull or push (`pull the image team/app:1`), in the words of the engine."""
    return RuntimeFailure("image", f"cannot {action}: {message}", is_passing=not FINAL.search(message))


def pull_summary(layers: Mapping[str, PullEvent]) -> str:
    """`3 of 7 layers, 12 of 80 MB`, from the last event of each layer."""
    done = sum(event.get("status") in ("Pull complete", "Already exists") for event in layers.values())
    sizes = [event.get("progressDetail") or {} for event in layers.values() if event.get("status") == "Downloading"]
    text = f"{done} of {len(layers)} layers"
    if not sizes:
        return text
    current, total = (sum(size.get("current") or 0 for size in sizes), sum(size.get("total") or 0 for size in sizes))
    return f"{text}, {current / 1e6:.0f} of {total / 1e6:.0f} MB"
