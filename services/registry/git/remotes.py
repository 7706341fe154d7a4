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
    """The repository, branch and folder of an app's manifests; with `tags` the newest tag that matches is its head."""

    url: str
    branch: str = "main"
    path: str = "manifests"
    credentials: Credentials = NO_CREDENTIALS
    tags: str | None = None
    head_seen: bool = False
    """Whether the branch, or a tag that matches, existed before."""
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
        if repository.url is None:
            return self._resolve_hosted(repository)
        remote = _build_remote(repository, repository.url)
        if repository.credentials is None:
            return remote
        values = await self._secret_reader.get_values(repository.app, repository.credentials)
        try:
            return replace(remote, credentials=parse_credentials(values, remote.url))
        except Invalid as error:
            secret_name = f'secret "{repository.credentials}" (Repository {repository.name})'
            raise MissingCredentials(f"{secret_name} has no complete values yet: {error.detail}") from error

    def _resolve_hosted(self, repository: Repository) -> GitRemote:
        url = self._hosted.get_url(repository.app)
        if not self._hosted.exists(repository.app):
            raise NothingPushed(url, repository.branch, repository.tags)
        return replace(_build_remote(repository, url), checked_target=self._hosted.get_target(repository.app))


def _build_remote(repository: Repository, url: str) -> GitRemote:
    head_seen = repository.head is not None
    return GitRemote(url, repository.branch, repository.path, tags=repository.tags, head_seen=head_seen)
