"""Dependencies of the routes: created once at start and injected by FastAPI, together with the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from libs.common import log
from libs.common.db import Database
from libs.common.errors import MeshError, NotFound
from libs.common.http.client import ServiceClients
from libs.common.identity import Caller, caller_from_headers
from libs.common.settings import Settings
from services.registry.accounts.passwords import PasswordChecks, SignInThrottle
from services.registry.app_creation import AppCreator
from services.registry.app_removal import AppRemover
from services.registry.commit_statuses.sender import StatusSender
from services.registry.delivery_log import DeliveryLog
from services.registry.deployments.revision_reader import RevisionReader
from services.registry.deployments.worker import DeploymentWorker
from services.registry.events import EventPublisher
from services.registry.git.address_policy import AddressPolicy
from services.registry.git.cache import GitCache
from services.registry.git.error_messages import RefNotFound
from services.registry.git.hosted_repositories import HostedRepositories
from services.registry.git.remotes import RemoteResolver
from services.registry.hosting.push_receiver import PushReceiver
from services.registry.hosting.upload_pack import UploadPack
from services.registry.open_deliveries import OpenDeliveries
from services.registry.request_body import BodyReader
from services.registry.secrets.reader import SecretReader
from services.registry.secrets.vault import Vault
from services.registry.secrets.webhook_verification import WebhookVerifier


@dataclass(frozen=True)
class Dependencies:
    settings: Settings
    database: Database
    vault: Vault
    secret_reader: SecretReader
    address_policy: AddressPolicy
    git_cache: GitCache
    hosted: HostedRepositories
    upload_pack: UploadPack
    push_receiver: PushReceiver
    remotes: RemoteResolver
    revisions: RevisionReader
    status_sender: StatusSender
    deployment_worker: DeploymentWorker
    app_creator: AppCreator
    app_remover: AppRemover
    events: EventPublisher
    peers: ServiceClients
    webhook_verifier: WebhookVerifier
    delivery_log: DeliveryLog
    open_deliveries: OpenDeliveries
    publish_access_change: Callable[[str], None]
    """Notify the scheduler, and resume deployments that wait for a secret value."""
    body_reader: BodyReader
    """Of webhooks."""
    passwords: PasswordChecks
    sign_in_throttle: SignInThrottle

    async def read_remote_head(self, app: str, timeout: float) -> str | None:
        """Ask the remote for the head of the app's branch; None when it fails or takes longer than `timeout` seconds.

        Raises RefNotFound.
        """
        try:
            _repository, remote = await self.remotes.resolve_app(app)
            return await self.git_cache.read_remote_head(remote, timeout)
        except RefNotFound:
            raise
        except MeshError as error:
            log.get("registry").info(
                "Could not read the remote head; the deployment will resolve it", app=app, why=error.detail
            )
            return None


def get_dependencies(request: Request) -> Dependencies:
    deps: Dependencies = request.app.state.dependencies
    return deps


async def _get_dependencies(request: Request) -> Dependencies:
    return get_dependencies(request)


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
