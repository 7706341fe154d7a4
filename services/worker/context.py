"""What all tasks of a worker share: settings, clients, caches and the runtime."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from libs.common import log
from libs.common.errors import Conflict
from libs.common.http.client import ServiceClients
from libs.common.protocol.claim import FIRST_KINDS, TaskKind
from libs.common.protocol.credential import SecretsQuery, SecretValues
from libs.common.protocol.instance import InstanceSpec
from libs.common.settings import Settings
from services.worker.failures import TaskFailed
from services.worker.files.checkout import CheckoutCache
from services.worker.files.file_cache import FileCache
from services.worker.files.hidden_values import load_hidden_values, save_hidden_values
from services.worker.files.models import ModelCache
from services.worker.held_tasks import HeldTask
from services.worker.lease import Lease
from services.worker.retry import retry
from services.worker.runtime import Progress, Runtime, RuntimeFailure
from services.worker.runtime.spec import LOOPBACK, ContainerSite, ContainerSpec, Secrets

PROGRESS_INTERVAL_S = 0.25
"""Minimum time between two progress lines that are reported: installers write many."""


@dataclass(frozen=True)
class WorkerContext:
    settings: Settings
    worker: str
    installation: str
    peers: ServiceClients
    runtime: Runtime
    checkouts: CheckoutCache
    models: ModelCache
    file_cache: FileCache
    component_program: Path | None
    """The component runtime on this host; None where containers mount their own."""
    needs_source: bool
    """Whether the runtime needs the checkout (processes); Docker images contain it."""

    @property
    def task_kinds(self) -> tuple[TaskKind, ...]:
        """Kinds of tasks that this worker takes: without an engine there are no images."""
        return FIRST_KINDS if self.needs_source else (*FIRST_KINDS, "image", "build")

    @property
    def tasks_folder(self) -> Path:
        """A folder per worker: several workers may share the scratch folder."""
        return self.settings.scratch_folder / "tasks" / self.worker

    def task_folder(self, lease: Lease) -> Path:
        return self.tasks_folder / lease.container_name

    async def build_site(self, lease: Lease) -> ContainerSite:
        """Collect what a container spec needs besides the lease. Raises TaskFailed if the source is unavailable."""
        try:
            source = await self.checkouts.get(lease.app, lease.commit) if self.needs_source else None
        except RuntimeFailure as error:
            raise TaskFailed(error.code, error.detail) from error
        return ContainerSite(
            worker=self.worker,
            installation=self.installation,
            folder=self.task_folder(lease),
            mesh_url=await self.mesh_url(lease),
            source=source,
            component_program=self.component_program,
            address=self.settings.worker_advertise or LOOPBACK,
        )

    async def mesh_url(self, lease: Lease) -> str:
        isolated = isinstance(lease.spec, InstanceSpec) and lease.spec.egress == "none"
        return await retry(lambda: self.runtime.mesh_url(lease.app, egress=not isolated))

    async def get_registry_login(self, held_task: HeldTask, name: str | None) -> dict[str, str] | None:
        """Return the credentials of the image registry, the Secret `name`; None: anonymous. Raises TaskFailed."""
        if not name:
            return None
        credentials = (await self.fetch_secrets(held_task, [name]))[name]
        if not {"username", "password"} <= credentials.keys():
            raise TaskFailed(
                "image", f"Secret {name} needs the keys username and password to be the image's credentials"
            )
        return {"username": credentials["username"], "password": credentials["password"]}

    async def fetch_secrets(self, held_task: HeldTask, names: Sequence[str]) -> Secrets:
        """The keys and values of Secrets. The task's log and status hide the values from now on. Raises TaskFailed."""
        if not names:
            return {}
        path = f"/internal/apps/{held_task.lease.app}/secrets/values"
        try:
            query = SecretsQuery(names=tuple(names))
            response = await retry(lambda: self.peers.registry.post(path, query.to_json()))
        except Conflict as error:
            raise TaskFailed("secrets", error.detail) from error
        secrets = SecretValues.model_validate(response).secrets
        held_task.hide_values(value for values in secrets.values() for value in values.values())
        folder, key = self.task_folder(held_task.lease), self.settings.internal_token
        await asyncio.to_thread(save_hidden_values, folder, key, held_task.hidden_values)
        return secrets

    async def load_hidden_values(self, held_task: HeldTask) -> None:
        """What an earlier worker has hidden of an adopted task."""
        folder = self.task_folder(held_task.lease)
        held_task.hide_values(await asyncio.to_thread(load_hidden_values, folder, self.settings.internal_token))

    async def prepare_and_start(self, held_task: HeldTask, spec: ContainerSpec, credentials: str | None) -> None:
        """Prepare and start the container. Raises TaskFailed."""
        await self.start(held_task, await self.prepare(held_task, spec, credentials))

    async def prepare(self, held_task: HeldTask, spec: ContainerSpec, credentials: str | None) -> ContainerSpec:
        """Pull or build what the container needs; return the spec with the exact image id. Raises TaskFailed.

        `credentials`: the Secret with which its image is pulled.
        """
        spec = replace(spec, registry_login=await self.get_registry_login(held_task, credentials))
        held_task.update_status(state="pulling")
        try:
            image_id = await retry(
                lambda: self.runtime.prepare(spec, throttle_progress(lambda line: held_task.update_status(detail=line)))
            )
        except RuntimeFailure as error:
            raise TaskFailed(error.code, error.detail) from error
        return replace(spec, image_id=image_id)

    async def resolve_image(self, held_task: HeldTask, image: str, credentials: str | None) -> str:
        """The exact image that a name means now; pulled if it is missing. Raises TaskFailed, RuntimeFailure."""
        login = await self.get_registry_login(held_task, credentials)
        held_task.update_status(state="pulling")
        progress = throttle_progress(lambda line: held_task.update_status(detail=line))
        return await retry(lambda: self.runtime.resolve_image(image, progress, login))

    async def start(self, held_task: HeldTask, spec: ContainerSpec) -> None:
        """Raises TaskFailed, or RuntimeFailure("lost") if the engine went away during the start."""
        held_task.update_status(state="starting", detail=None)
        try:
            await retry(lambda: self.runtime.start(spec))
        except RuntimeFailure as error:
            if error.code == "lost":
                raise
            raise TaskFailed(error.code, error.detail) from error
        event = "Instance started" if held_task.lease.kind == "instance" else "Stage started"
        log.get("worker").info(event, **held_task.lease.log_fields)


def get_installation_id(internal_token: str) -> str:
    """Identify a mesh: its containers carry this id as a label, as several meshes may share an engine."""
    return hashlib.sha256(internal_token.encode()).hexdigest()[:12]


def throttle_progress(report: Progress) -> Progress:
    last = 0.0

    def report_line(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_INTERVAL_S:
            last = time.monotonic()
            report(line)

    return report_line
