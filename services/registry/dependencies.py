"""What the routes work with, made once when the service starts, and who calls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from libs.common import log
from libs.common.db import Database
from libs.common.errors import MeshError, NotFound
from libs.common.http.client import ServiceClients
from libs.common.identity import Caller, caller_from_headers
from libs.common.messages import AccessChanged
from libs.common.settings import Settings
from services.registry.app_removal import AppRemover
from services.registry.deployments.worker import DeploymentWorker
from services.registry.events import EventPublisher
from services.registry.git.address_policy import AddressPolicy
from services.registry.git.cache import GitCache
from services.registry.git.error_messages import BranchNotFound
from services.registry.git.remotes import RemoteResolver
from services.registry.secrets.vault import Vault


@dataclass(frozen=True)
class Dependencies:
    settings: Settings
    database: Database
    vault: Vault
    address_policy: AddressPolicy
    git_cache: GitCache
    remotes: RemoteResolver
    deployment_worker: DeploymentWorker
    app_remover: AppRemover
    events: EventPublisher
    peers: ServiceClients

    async def read_remote_head(self, app: str, timeout: float) -> str | None:
        """The head of the app's branch, if Git says it within `timeout` seconds. Raises NoBranch."""
        try:
            _repository, remote = await self.remotes.resolve_app(app)
            return await self.git_cache.read_remote_head(remote, timeout)
        except BranchNotFound:
            raise
        except MeshError as error:
            log.get("registry").info("git did not say the head in time", app=app, why=error.detail)
            return None

    def publish_access_change(self, app: str) -> None:
        """Tell the scheduler, and let a deployment that waits for a value go on."""
        self.events.publish_soon(AccessChanged(app=app))
        self.deployment_worker.wake()


async def _get_dependencies(request: Request) -> Dependencies:
    deps: Dependencies = request.app.state.parts
    return deps


async def _get_caller(request: Request) -> Caller:
    return caller_from_headers(request.headers)


DependenciesDep = Annotated[Dependencies, Depends(_get_dependencies)]
CallerDep = Annotated[Caller, Depends(_get_caller)]


class AppNotFound(NotFound):
    """There is no such app."""

    def __init__(self, ns: str) -> None:
        super().__init__(f'there is no app "{ns}"')


class DeploymentNotFound(NotFound):
    """There is no such deployment."""

    def __init__(self, ns: str, deployment: str, commit: str | None = None) -> None:
        which = f"of commit {commit}" if commit else f'"{deployment}"'
        super().__init__(f"{ns} has no deployment {which}")
