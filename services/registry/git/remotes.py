"""Resolves an app's Repository to a Git remote: address, branch and decrypted credentials."""

from __future__ import annotations

from dataclasses import dataclass, replace

from libs.common.db import Database
from libs.common.errors import Conflict, Invalid
from services.registry.apps import Repository
from services.registry.db import apps
from services.registry.git.address_policy import GitTarget
from services.registry.git.credentials import NO_CREDENTIALS, Credentials, parse_credentials
from services.registry.git.hosted_repositories import HostedRepositories, NothingPushed
from services.registry.secrets.reader import SecretReader


@dataclass(frozen=True)
class GitRemote:
    """The repository, branch and folder of an app's manifests."""

    url: str
    branch: str = "main"
    path: str = "manifests"
    credentials: Credentials = NO_CREDENTIALS
    branch_seen: bool = False
    """Whether the branch existed before."""
    checked_target: GitTarget | None = None
    """Of a built-in repository, which no policy needs to check."""


class NoRepository(Conflict):
    """The app has no Repository; send one with: mlmesh apply"""


class MissingCredentials(Conflict):
    """The Secret with the Git credentials has no values yet."""


class RemoteResolver:
    def __init__(self, database: Database, secret_reader: SecretReader, hosted: HostedRepositories) -> None:
        self._database = database
        self._secret_reader = secret_reader
        self._hosted = hosted

    async def resolve_app(self, app: str) -> tuple[Repository, GitRemote]:
        """Raises NoRepository, NothingPushed or MissingCredentials."""
        async with self._database.read() as conn:
            repository = await apps.get_repository(conn, app)
        if repository is None:
            raise NoRepository()
        return repository, await self.resolve(repository)

    async def resolve(self, repository: Repository) -> GitRemote:
        branch_seen = repository.head is not None
        if repository.url is None:
            return self._resolve_hosted(repository, branch_seen=branch_seen)
        remote = GitRemote(repository.url, repository.branch, repository.path, branch_seen=branch_seen)
        if repository.credentials is None:
            return remote
        values = await self._secret_reader.get_values(repository.app, repository.credentials)
        try:
            return replace(remote, credentials=parse_credentials(values, remote.url))
        except Invalid as error:
            secret_name = f'secret "{repository.credentials}" (Repository {repository.name})'
            raise MissingCredentials(f"{secret_name} has no complete values yet: {error.detail}") from error

    def _resolve_hosted(self, repository: Repository, *, branch_seen: bool) -> GitRemote:
        url = self._hosted.get_url(repository.app)
        if not self._hosted.exists(repository.app):
            raise NothingPushed(url, repository.branch)
        target = self._hosted.get_target(repository.app)
        return GitRemote(url, repository.branch, repository.path, branch_seen=branch_seen, checked_target=target)
