"""Decides which repository addresses may be contacted, and pins Git to the addresses that were checked.

A host is resolved once and checked, and Git connects to those IP addresses. The URL for Git is built anew from the
checked parts, so that Git cannot parse it in another way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from libs.common.http.addresses import Address, NetworkPolicy, PrivateAddressError
from services.registry.git.allowed_folders import AllowedFolders, RepositoryForbidden
from services.registry.git.error_messages import GitFailed
from services.registry.git.repository_url import InvalidRepositoryUrl, RepositoryUrl, parse_repository_url

FOLDER_NOT_ALLOWED = (
    "cannot read this file:// address: it must be a Git repository that the mesh's user can read,"
    " in a folder that the operator allows (MLMESH_REPOSITORY_FOLDERS)"
)
NETWORK_NOT_ALLOWED = (
    "cannot contact {host}: it is in a network that the operator does not allow (MLMESH_REPOSITORY_NETWORKS)"
)
HOST_NOT_FOUND = "could not resolve host {host}; is the url of the Repository right?"

PROXIES = {
    "http": ("http_proxy", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}
"""The variables that curl reads for each scheme."""
PROXY_ONLY = {"no_proxy": "", "NO_PROXY": ""}
"""A host that could not be checked is contacted through the proxy only."""


class AddressNotAllowed(GitFailed):
    """The policy does not allow this address."""


@dataclass(frozen=True)
class GitTarget:
    """Arguments, environment and ssh options that pin Git to a checked address."""

    url: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ssh_options: tuple[str, ...] = ()
    fallback: GitTarget | None = None
    """The target at the host's next address, for ssh, which connects to one address only."""

    @property
    def is_local(self) -> bool:
        return self.url.startswith("file://")


class AddressPolicy:
    def __init__(self, folders: AllowedFolders, networks: Iterable[str]) -> None:
        self._folders = folders
        self._reach = NetworkPolicy(networks)

    async def resolve(self, url: str, timeout: float) -> GitTarget:
        """Raises AddressNotAllowed; GitFailed when the host is not resolved within `timeout` seconds."""
        try:
            repository_url = parse_repository_url(url)
        except InvalidRepositoryUrl as error:
            raise AddressNotAllowed(str(error)) from error
        if repository_url.scheme == "file":
            return await self._resolve_file(repository_url)
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._reach.resolve(repository_url.host, repository_url.port)
        except PrivateAddressError as error:
            raise AddressNotAllowed(NETWORK_NOT_ALLOWED.format(host=repository_url.host)) from error
        except (OSError, TimeoutError) as error:
            if uses_proxy(repository_url, os.environ):
                return GitTarget(repository_url.url, environment=PROXY_ONLY)
            raise GitFailed(HOST_NOT_FOUND.format(host=repository_url.host)) from error
        return pin_addresses(repository_url, addresses)

    async def explain_refusal(self, url: str, timeout: float) -> str | None:
        """Why the policy does not allow this address; None when it does, or when the host is not resolved now."""
        try:
            await self.resolve(url, timeout)
        except AddressNotAllowed as error:
            return error.detail
        except GitFailed:
            return None
        return None

    async def _resolve_file(self, url: RepositoryUrl) -> GitTarget:
        try:
            folder = await asyncio.to_thread(self._folders.find_repository, unquote(url.path))
        except RepositoryForbidden as error:
            raise AddressNotAllowed(FOLDER_NOT_ALLOWED) from error
        return build_local_target(folder)


def build_local_target(folder: Path) -> GitTarget:
    """A repository in a folder of this host, and no other that Git might find from there."""
    return GitTarget(f"file://{quote(str(folder))}", ("--upload-pack=git-upload-pack --strict",))


def pin_addresses(url: RepositoryUrl, addresses: list[Address]) -> GitTarget:
    """A target that connects only to `addresses`, even if the DNS changes."""
    if url.scheme == "ssh":
        host_key_alias = url.host if url.port == url.default_port else f"[{url.host}]:{url.port}"
        fallback = pin_addresses(url, addresses[1:]) if addresses[1:] else None
        options = (f"HostName={addresses[0]}", f"HostKeyAlias={host_key_alias}", "CheckHostIP=no")
        return GitTarget(url.url, ssh_options=options, fallback=fallback)
    if url.is_address:
        return GitTarget(url.with_host(addresses[0]).url)
    address_list = ",".join(f"[{address}]" if address.version == 6 else str(address) for address in addresses)
    key, value = "http.curloptResolve", f"{url.host}:{url.port}:{address_list}"
    return GitTarget(
        url.url, environment={"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": key, "GIT_CONFIG_VALUE_0": value}
    )


def uses_proxy(url: RepositoryUrl, environ: Mapping[str, str]) -> bool:
    """Whether Git connects through the operator's proxy, which resolves and checks hosts itself."""
    return any(environ.get(name) for name in PROXIES.get(url.scheme, ()))
