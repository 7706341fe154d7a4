"""What every task of this worker works with."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from libs.common.errors import Conflict
from libs.common.http.client import Peers
from libs.common.settings import Settings
from services.worker.failures import Failed
from services.worker.files.checkout import Checkouts
from services.worker.files.file_cache import Shelf
from services.worker.files.models import Models
from services.worker.held_tasks import Holding
from services.worker.lease import Lease
from services.worker.retry import patient
from services.worker.runtime import CannotRun, Progress, Runtime
from services.worker.runtime.spec import LOOPBACK, ContainerSpec, Site

SHOWN_S = 0.25
"""An installer writes many lines; one in this time is shown."""


@dataclass(frozen=True)
class Host:
    settings: Settings
    worker: str
    installation: str
    peers: Peers
    runtime: Runtime
    checkouts: Checkouts
    models: Models
    shelf: Shelf
    serve: Path | None
    """The component program on this host; None where containers bring their own."""
    with_source: bool
    """The runtime needs the checkout (processes), or has all of it in the image (Docker)."""

    @property
    def tasks(self) -> Path:
        """Of this worker alone: several workers may share the scratch folder."""
        return self.settings.scratch_folder / "tasks" / self.worker

    def folder(self, lease: Lease) -> Path:
        return self.tasks / lease.name

    async def site(self, lease: Lease) -> Site:
        """Raises Failed when the source is not to be had."""
        try:
            source = await self.checkouts.get(lease.app, lease.commit) if self.with_source else None
        except CannotRun as error:
            raise Failed(error.code, error.detail) from error
        return Site(
            worker=self.worker,
            installation=self.installation,
            folder=self.folder(lease),
            mesh_url=await self.mesh_url(lease),
            source=source,
            serve=self.serve,
            address=self.settings.worker_advertise or LOOPBACK,
        )

    async def mesh_url(self, lease: Lease) -> str:
        inner = lease.kind == "instance" and lease.spec.get("egress") == "none"
        return await patient(lambda: self.runtime.mesh_url(lease.app, egress=not inner))

    async def secrets(self, lease: Lease) -> dict[str, dict[str, str]]:
        """Those of its environment. Raises Failed."""
        return await self._secrets(lease, lease.spec.get("secrets") or [])

    async def login(self, lease: Lease) -> dict[str, str] | None:
        """How the image registry is to be asked; None: without a name. Raises Failed."""
        name = lease.spec.get("image_credentials")
        if not name:
            return None
        found = (await self._secrets(lease, [name]))[name]
        if not {"username", "password"} <= found.keys():
            raise Failed("image", f"Secret {name} needs the keys username and password to be the image's credentials")
        return {"username": found["username"], "password": found["password"]}

    async def _secrets(self, lease: Lease, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        path = f"/internal/apps/{lease.app}/secrets/values"
        try:
            found = await patient(lambda: self.peers.registry.post(path, {"names": names}))
        except Conflict as error:
            raise Failed("secrets", error.detail) from error
        return dict(found["secrets"])

    async def launch(self, holding: Holding, spec: ContainerSpec) -> None:
        """Prepared and started. Raises Failed."""
        await self.start(holding, await self.prepare(holding, spec))

    async def prepare(self, holding: Holding, spec: ContainerSpec) -> ContainerSpec:
        """What it needs is at hand; the same with exactly the image that it will have. Raises Failed."""
        spec = replace(spec, login=await self.login(holding.lease))
        holding.show(state="pulling")
        try:
            identity = await patient(lambda: self.runtime.prepare(spec, paced(lambda line: holding.show(detail=line))))
        except CannotRun as error:
            raise Failed(error.code, error.detail) from error
        return replace(spec, identity=identity)

    async def start(self, holding: Holding, spec: ContainerSpec) -> None:
        """Raises Failed, or CannotRun when the engine went away in between."""
        holding.show(state="starting", detail=None)
        try:
            await patient(lambda: self.runtime.start(spec))
        except CannotRun as error:
            if error.code == "lost":
                raise
            raise Failed(error.code, error.detail) from error


def installation(internal_token: str) -> str:
    """What tells the containers of one mesh from those of another on the same engine."""
    return hashlib.sha256(internal_token.encode()).hexdigest()[:12]


def paced(show: Progress) -> Progress:
    last = 0.0

    def step(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= SHOWN_S:
            last = time.monotonic()
            show(line)

    return step
