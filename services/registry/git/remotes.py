"""Resolves an app's Repository to a Git remote: address, branch and decrypted credentials."""

from __future__ import annotations

from dataclasses import dataclass, replace

from libs.common.db import Database
from libs.common.errors import Conflict, Invalid
from services.registry.apps import WEBHOOK_KEY, Repository
from services.registry.db import apps, secrets
from services.registry.git.credentials import NO_CREDENTIALS, Credentials, parse_credentials
from services.registry.secrets.vault import Vault

GENERATED_WEBHOOK = "(webhook)"
"""Names the generated webhook secret in the vault; not a valid name of a Secret."""


@dataclass(frozen=True)
class GitRemote:
    """The repository, branch and folder of an app's manifests."""

    url: str
    branch: str = "main"
    path: str = "manifests"
    credentials: Credentials = NO_CREDENTIALS
    branch_seen: bool = False
    """Whether the branch existed before."""


class NoRepository(Conflict):
    """The app has no Repository; send one with: mlmesh apply"""


class MissingCredentials(Conflict):
    """The Secret with the Git credentials has no values yet."""


class RemoteResolver:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def resolve_app(self, app: str) -> tuple[Repository, GitRemote]:
        """Raises NoRepository or MissingCredentials."""
        async with self._database.read() as conn:
            repository = await apps.get_repository(conn, app)
        if repository is None:
            raise NoRepository()
        return repository, await self.resolve(repository)

    async def resolve(self, repository: Repository) -> GitRemote:
        branch_seen = repository.head is not None
        remote = GitRemote(repository.url, repository.branch, repository.path, branch_seen=branch_seen)
        if repository.credentials is None:
            return remote
        values = await self.get_secret_values(repository.app, repository.credentials)
        try:
            return replace(remote, credentials=parse_credentials(values, remote.url))
        except Invalid as error:
            secret_name = f'secret "{repository.credentials}" (Repository {repository.name})'
            raise MissingCredentials(f"{secret_name} has no complete values yet: {error.detail}") from error

    async def get_secret_values(self, app: str, name: str) -> dict[str, str]:
        """A Secret's decrypted values. Only Git and the worker that starts a task may receive them."""
        async with self._database.read() as conn:
            encrypted = await secrets.get_values(conn, app, name)
        return {key: self._vault.decrypt(app, name, key, value) for key, value in encrypted.items()}

    async def get_webhook_secret(self, repository: Repository) -> str:
        """Empty when the Secret that signs webhooks has no value yet."""
        if repository.webhook_secret is not None:
            return (await self.get_secret_values(repository.app, repository.webhook_secret)).get(WEBHOOK_KEY, "")
        if repository.webhook_sealed is None:
            return ""
        return self._vault.decrypt(repository.app, GENERATED_WEBHOOK, WEBHOOK_KEY, repository.webhook_sealed)
