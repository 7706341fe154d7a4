"""What the routes work with, made once when the service starts, and who calls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from libs.common import log
from libs.common.db import Database
from libs.common.errors import MeshError, NotFound
from libs.common.http.client import Peers
from libs.common.identity import Caller, caller
from libs.common.messages import AccessChanged
from libs.common.settings import Settings
from services.registry.app_removal import Remover
from services.registry.deployments.worker import Deployer
from services.registry.events import Doorbell
from services.registry.git.address_policy import Locations
from services.registry.git.cache import Source
from services.registry.git.error_messages import NoBranch
from services.registry.git.remotes import Origins
from services.registry.secrets.vault import Vault


@dataclass(frozen=True)
class Parts:
    settings: Settings
    database: Database
    vault: Vault
    locations: Locations
    source: Source
    origins: Origins
    deployer: Deployer
    remover: Remover
    doorbell: Doorbell
    peers: Peers

    async def head(self, app: str, timeout: float) -> str | None:
        """The head of the app's branch, if Git says it within `timeout` seconds. Raises NoBranch."""
        try:
            _repository, origin = await self.origins.of_app(app)
            return await self.source.head(origin, timeout)
        except NoBranch:
            raise
        except MeshError as error:
            log.get("registry").info("git did not say the head in time", app=app, why=error.detail)
            return None

    def access_changed(self, app: str) -> None:
        """Tell the scheduler, and let a deployment that waits for a value go on."""
        self.doorbell.ring(AccessChanged(app=app))
        self.deployer.wake()


async def _parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


async def _caller(request: Request) -> Caller:
    return caller(request.headers)


Here = Annotated[Parts, Depends(_parts)]
Who = Annotated[Caller, Depends(_caller)]


class NoApp(NotFound):
    """There is no such app."""

    def __init__(self, ns: str) -> None:
        super().__init__(f'there is no app "{ns}"')


class NoDeployment(NotFound):
    """There is no such deployment."""

    def __init__(self, ns: str, deployment: str, commit: str | None = None) -> None:
        which = f"of commit {commit}" if commit else f'"{deployment}"'
        super().__init__(f"{ns} has no deployment {which}")
