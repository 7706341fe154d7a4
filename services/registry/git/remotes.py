"""Where an app's manifests come from, with the credentials that its Secret holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from libs.common.db import Database
from libs.common.errors import Conflict, Invalid
from services.registry.apps import GENERATED_KEY, Repository
from services.registry.db import apps, secrets
from services.registry.git.credentials import NOBODY, Credentials, credentials_of
from services.registry.secrets.vault import Vault

GENERATED = "(webhook)"
"""The place of a generated webhook secret in the vault: no name of a Secret looks like this."""


@dataclass(frozen=True)
class Origin:
    """Where an app's manifests come from."""

    url: str
    branch: str = "main"
    path: str = "manifests"
    credentials: Credentials = NOBODY
    seen: bool = False
    """Whether the branch has been there before."""


class NoRepository(Conflict):
    """The app has no Repository; send one with: mlmesh apply"""


class Incomplete(Conflict):
    """The Secret with the Git credentials has no values yet."""


class Origins:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def of_app(self, app: str) -> tuple[Repository, Origin]:
        """Raises NoRepository or Incomplete."""
        async with self._database.read() as c:
            repository = await apps.repository(c, app)
        if repository is None:
            raise NoRepository()
        return repository, await self.of(repository)

    async def of(self, repository: Repository) -> Origin:
        seen = repository.head is not None
        plain = Origin(repository.url, repository.branch, repository.path, seen=seen)
        if repository.credentials is None:
            return plain
        values = await self.values(repository.app, repository.credentials)
        try:
            return replace(plain, credentials=credentials_of(values, plain.url))
        except Invalid as error:
            where = f'secret "{repository.credentials}" (Repository {repository.name})'
            raise Incomplete(f"{where} has no complete values yet: {error.detail}") from error

    async def values(self, app: str, name: str) -> dict[str, str]:
        """A Secret's values in clear. They leave this process only to Git and to the worker that starts a task."""
        async with self._database.read() as c:
            sealed = await secrets.values(c, app, name)
        return {key: self._vault.open(app, name, key, value) for key, value in sealed.items()}

    async def webhook_secret(self, repository: Repository) -> str:
        """Empty when the Secret that signs webhooks has no value yet."""
        if repository.webhook_secret is not None:
            return (await self.values(repository.app, repository.webhook_secret)).get(GENERATED_KEY, "")
        if repository.webhook_sealed is None:
            return ""
        return self._vault.open(repository.app, GENERATED, GENERATED_KEY, repository.webhook_sealed)
