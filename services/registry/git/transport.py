"""Repositories of others, asked by their address: only where they may be, and where they were looked up.

A redirect within one place (scheme, host, port) is followed, as forges send one for an address without `.git` and for a
repository with a new name. Any other is refused with the new address, which the owner of the app can write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from services.registry.git.address_policy import NO_FOLDER, Locations, NotAllowed, Target
from services.registry.git.client import Git
from services.registry.git.credentials import Credentials
from services.registry.git.error_messages import NO_REF, REDIRECTED, GitFailed
from services.registry.git.remotes import Origin
from services.registry.git.repository_url import located, shown

LOOK_UP_S = 10.0
MAX_REDIRECTS = 3
OF_THE_BRANCH = (NO_REF, "not our ref", "git ", "nothing for")
"""What is told of a repository that may be read; the last are our own words."""

NO_CONNECTION = "connect to host"
"""What ssh says of an address at which nobody listens."""


class Remote:
    def __init__(self, git: Git, locations: Locations) -> None:
        self._git = git
        self._locations = locations

    async def ask(
        self,
        origin: Origin,
        command: Sequence[str],
        *what: str,
        folder: Path | None = None,
        timeout: float,
        silence: float | None = None,
    ) -> bytes:
        """What Git printed for `command` about `what` of the repository. Raises GitFailed with its reason."""

        async def run(target: Target) -> bytes:
            arguments = (*command, *target.arguments, "--", target.url, *what)
            return await self._git.run(
                *arguments, folder=folder, credentials=origin.credentials, target=target,
                timeout=timeout, silence=silence,
            )  # fmt: skip

        url = origin.url
        for _ in range(MAX_REDIRECTS + 1):
            target = await self._locations.find(url, min(timeout, LOOK_UP_S))
            try:
                return await _connected(run, target)
            except GitFailed as error:
                if target.is_local and not any(said in error.detail for said in OF_THE_BRANCH):
                    raise NotAllowed(NO_FOLDER) from error
                if not REDIRECTED.search(error.detail):
                    raise
            url = await self._moved(url, target, origin.credentials, timeout)
        raise GitFailed(f"{shown(origin.url)} redirects more than {MAX_REDIRECTS} times")

    async def _moved(self, url: str, target: Target, credentials: Credentials, timeout: float) -> str:
        """The address that a redirect leads to. Raises GitFailed when it is at another place."""
        location = await self._git.location(target, credentials, timeout)
        if moved := located(url).moved(location):
            return moved.url
        told = f"{shown(url)} redirects to {shown(location) if location else 'nowhere'}, which is not followed"
        raise GitFailed(f"{told}; if the repository is there, write that address into the Repository (url)")


async def _connected(run: Callable[[Target], Awaitable[bytes]], target: Target) -> bytes:
    """Of the host's addresses at the first one that takes a connection."""
    try:
        return await run(target)
    except GitFailed as error:
        if target.other is None or NO_CONNECTION not in error.detail:
            raise
    return await _connected(run, target.other)
