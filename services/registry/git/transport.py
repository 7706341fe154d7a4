"""Runs Git commands against remotes, only at addresses that the policy allows and has resolved.

A redirect within one origin (scheme, host, port) is followed: forges redirect addresses without `.git` and renamed
repositories. Any other redirect is an error with the new address, which the owner of the app can set.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from services.registry.git.address_policy import FOLDER_NOT_ALLOWED, AddressNotAllowed, AddressPolicy, GitTarget
from services.registry.git.client import LARGER_THAN, GitClient
from services.registry.git.credentials import Credentials
from services.registry.git.error_messages import NO_REF, REDIRECTED, GitFailed
from services.registry.git.remotes import GitRemote
from services.registry.git.repository_url import parse_repository_url, redact_url

LOOKUP_TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
READABLE_ERRORS = (NO_REF, "not our ref", "git ", "nothing for", LARGER_THAN)
"""Errors of an allowed local repository, shown as they are; the last three are our own messages."""

NO_CONNECTION = "connect to host"
"""Part of ssh's message when a connection fails."""


class GitTransport:
    def __init__(self, git: GitClient, address_policy: AddressPolicy) -> None:
        self._git = git
        self._address_policy = address_policy

    async def run(
        self,
        remote: GitRemote,
        command: Sequence[str],
        *refs: str,
        folder: Path | None = None,
        timeout: float,
        idle_timeout: float | None = None,
    ) -> bytes:
        """The output of `command` for `refs` of the remote. Raises GitFailed with Git's message."""

        async def run_at(target: GitTarget) -> bytes:
            arguments = (*command, *target.arguments, "--", target.url, *refs)
            return await self._git.run(
                *arguments, folder=folder, credentials=remote.credentials, target=target,
                timeout=timeout, idle_timeout=idle_timeout,
            )  # fmt: skip

        if remote.checked_target is not None:
            return await run_at(remote.checked_target)
        url = remote.url
        for _ in range(MAX_REDIRECTS + 1):
            target = await self._address_policy.resolve(url, min(timeout, LOOKUP_TIMEOUT_S))
            try:
                return await _run_at_first_address(run_at, target)
            except GitFailed as error:
                if target.is_local and not any(phrase in error.detail for phrase in READABLE_ERRORS):
                    raise AddressNotAllowed(FOLDER_NOT_ALLOWED) from error
                if not REDIRECTED.search(error.detail):
                    raise
            url = await self._follow_redirect(url, target, remote.credentials, timeout)
        raise GitFailed(f"{redact_url(remote.url)} redirects more than {MAX_REDIRECTS} times")

    async def _follow_redirect(self, url: str, target: GitTarget, credentials: Credentials, timeout: float) -> str:
        """The target of a redirect. Raises GitFailed when it is at another origin."""
        location = await self._git.find_redirect_location(target, credentials, timeout)
        if new_url := parse_repository_url(url).follow_redirect(location):
            return new_url.url
        message = (
            f"{redact_url(url)} redirects to {redact_url(location) if location else 'nowhere'}, which is not followed"
        )
        raise GitFailed(f"{message}; if the repository is there, write that address into the Repository (url)")


async def _run_at_first_address(run: Callable[[GitTarget], Awaitable[bytes]], target: GitTarget) -> bytes:
    """Try the host's addresses in order until a connection succeeds."""
    try:
        return await run(target)
    except GitFailed as error:
        if target.fallback is None or NO_CONNECTION not in error.detail:
            raise
    return await _run_at_first_address(run, target.fallback)
