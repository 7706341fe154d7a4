"""Where repositories may be: an address as an app's owner wrote it becomes what Git is given, judged and held to that.

The host is looked up once, judged, and Git connects to what came out. What Git is given is put together anew from the
parts that were judged, so that it cannot read an address in another way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from libs.common.http.addresses import Address, Internal, Reach
from services.registry.git.allowed_folders import Folders, Forbidden
from services.registry.git.error_messages import GitFailed
from services.registry.git.repository_url import Locator, NotALocator, located

NO_FOLDER = (
    "the mesh reads no repository at this file:// address: it must be a Git repository that the mesh's user can read,"
    " in a folder that its operator allows (MLMESH_REPOSITORY_FOLDERS)"
)
NO_NETWORK = (
    "the mesh asks {host} for no repository: it leads to a network that its operator does not allow"
    " (MLMESH_REPOSITORY_NETWORKS)"
)
NO_ADDRESS = "could not resolve host {host}; is the url of the Repository right?"

PROXIES = {
    "http": ("http_proxy", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}
"""The variables that curl reads for each scheme."""
ONLY_PROXY = {"no_proxy": "", "NO_PROXY": ""}
"""A host that nobody has judged is asked through the proxy or not at all."""


class NotAllowed(GitFailed):
    """The address leads to where no repository may be."""


@dataclass(frozen=True)
class Target:
    """What Git is given for an address, and what holds it to what was judged."""

    url: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ssh: tuple[str, ...] = ()
    other: Target | None = None
    """For ssh, which takes one address: the same at the host's next one."""

    @property
    def is_local(self) -> bool:
        return self.url.startswith("file://")


class Locations:
    def __init__(self, folders: Folders, networks: Iterable[str]) -> None:
        self._folders = folders
        self._reach = Reach(networks)

    async def find(self, url: str, timeout: float) -> Target:
        """Raises NotAllowed; GitFailed when the host has no address, or is not told within `timeout` seconds."""
        try:
            found = located(url)
        except NotALocator as error:
            raise NotAllowed(str(error)) from error
        if found.scheme == "file":
            return await self._file(found)
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._reach.find(found.host, found.port)
        except Internal as error:
            raise NotAllowed(NO_NETWORK.format(host=found.host)) from error
        except (OSError, TimeoutError) as error:
            if proxied(found, os.environ):
                return Target(found.url, environment=ONLY_PROXY)
            raise GitFailed(NO_ADDRESS.format(host=found.host)) from error
        return pinned(found, addresses)

    async def refused(self, url: str, timeout: float) -> str | None:
        """Why this address will never be asked; None when it may be, or when its host has no address now."""
        try:
            await self.find(url, timeout)
        except NotAllowed as error:
            return error.detail
        except GitFailed:
            return None
        return None

    async def _file(self, found: Locator) -> Target:
        try:
            folder = await asyncio.to_thread(self._folders.repository, unquote(found.path))
        except Forbidden as error:
            raise NotAllowed(NO_FOLDER) from error
        return Target(f"file://{quote(str(folder))}", ("--upload-pack=git-upload-pack --strict",))


def pinned(found: Locator, addresses: list[Address]) -> Target:
    """Git's connections go to `addresses`, whatever the host's name leads to by then."""
    if found.scheme == "ssh":
        named = found.host if found.port == found.default_port else f"[{found.host}]:{found.port}"
        other = pinned(found, addresses[1:]) if addresses[1:] else None
        options = (f"HostName={addresses[0]}", f"HostKeyAlias={named}", "CheckHostIP=no")
        return Target(found.url, ssh=options, other=other)
    if found.is_number:
        return Target(found.at(addresses[0]).url)
    listed = ",".join(f"[{one}]" if one.version == 6 else str(one) for one in addresses)
    key, value = "http.curloptResolve", f"{found.host}:{found.port}:{listed}"
    return Target(
        found.url, environment={"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": key, "GIT_CONFIG_VALUE_0": value}
    )


def proxied(found: Locator, environ: Mapping[str, str]) -> bool:
    """Whether a proxy of the operator connects, which may know hosts that we do not, and judges by itself."""
    return any(environ.get(name) for name in PROXIES.get(found.scheme, ()))
