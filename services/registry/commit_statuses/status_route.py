"""How an app's commit statuses reach its forge: which API, at which address, with which token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.db import Database
from libs.common.errors import Conflict
from services.registry.apps import Repository
from services.registry.db import apps, secrets
from services.registry.forges.access_tokens import AccessToken
from services.registry.forges.repository_address import RepositoryAddress, find_forge_of_host, make_address
from services.registry.forges.status_apis import STATUS_APIS, StatusApi
from services.registry.git.repository_url import InvalidRepositoryUrl, parse_repository_url
from services.registry.secrets.reader import SecretReader

NO_FORGE = "no forge that takes commit statuses is known for this url; write its name into the Repository (forge)"


class UnknownForge(Conflict):
    """The Repository's address is at no forge that takes statuses, as far as is known."""


class MissingToken(Conflict):
    """The Secret that the Repository names for statuses has no value yet."""


@dataclass(frozen=True)
class StatusRoute:
    """`secret` is the name and version of the Secret that holds the token."""

    api: StatusApi
    address: RepositoryAddress
    token: AccessToken
    secret: str


async def find_route(database: Database, secret_reader: SecretReader, app: str) -> StatusRoute | None:
    """None when nobody asked for statuses, or the forge refused this token before.

    Raises UnknownForge and MissingToken when the Repository names a Secret for statuses.
    """
    async with database.read() as conn:
        repository = await apps.get_repository(conn, app)
        declared = await secrets.list_secrets(conn, app)
    if repository is None or not repository.may_send_statuses:
        return None
    name = repository.status_credentials or repository.credentials or ""
    version = f"{name} {declared[name].version}" if name in declared else ""
    if version and version == repository.refused_secret:
        return None
    try:
        return _build_route(repository, name, version, await secret_reader.get_values(app, name))
    except (UnknownForge, MissingToken):
        if repository.status_credentials is None:
            return None
        raise


def _build_route(repository: Repository, name: str, version: str, values: Mapping[str, str]) -> StatusRoute:
    """Raises UnknownForge, MissingToken."""
    address = locate_repository(repository)
    api = None if address is None else STATUS_APIS.get(choose_forge(repository, address) or "")
    if address is None or api is None:
        raise UnknownForge(NO_FORGE)
    token = read_token(values, is_for_git=repository.status_credentials is None)
    if token is None:
        advice = f"set it with: mlmesh secret set {repository.app} {name} token"
        raise MissingToken(f"the token has no value yet; {advice}")
    return StatusRoute(api, address, token, version)


def locate_repository(repository: Repository) -> RepositoryAddress | None:
    """None for a folder, which is at no forge."""
    try:
        url = parse_repository_url(repository.url or "")
    except InvalidRepositoryUrl:
        return None
    port = "" if url.port == url.default_port else f":{url.port}"
    return None if url.scheme == "file" else make_address(url.scheme, url.host, port, url.path)


def choose_forge(repository: Repository, address: RepositoryAddress) -> str | None:
    return repository.forge or find_forge_of_host(address.host) or repository.delivery_forge


def read_token(values: Mapping[str, str], *, is_for_git: bool) -> AccessToken | None:
    """From a Secret with `token`, or `username` and `password`; a password for Git alone is not tried elsewhere."""
    if token := values.get("token"):
        return AccessToken(token.strip())
    if not is_for_git and (password := values.get("password")):
        return AccessToken(password.strip(), values.get("username", "").strip())
    return None
