"""Git as a subprocess: https, ssh and file only, no prompts, no hooks, no submodules, bounded time and size.

Redirects are not followed: they would lead to hosts that nobody judged.
Every call runs with a home of its own and an environment made here: nothing of the host's or the user's Git
configuration counts, and no credential is ever an argument.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from services.registry.git.address_policy import GitTarget
from services.registry.git.credentials import NO_CREDENTIALS, Credentials, GitAuth, write_auth_files
from services.registry.git.error_messages import GitFailed, explain_git_error, find_last_location
from services.registry.git.process_io import CHUNK_BYTES, IdleTimeout, communicate, get_pipes, read_stderr

MAX_FILE_BYTES = 1 << 30
"""The largest file (a pack) that Git may write here."""
KILL_WAIT_S = 5.0
PROTOCOLS = "https:http:ssh:file"
INHERITED_VARIABLES = (
    "PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "http_proxy", "https_proxy", "HTTPS_PROXY",
    "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
)  # fmt: skip
GIT_WITH_LIMITS = ("/bin/sh", "-c", 'ulimit -f "$0" && exec git "$@"', str(MAX_FILE_BYTES // 512))
"""POSIX counts `ulimit -f` in 512 bytes."""
CONFIGURATION = """\
[safe]
	directory = *
[core]
	hooksPath = /dev/null
	fsmonitor = false
	askPass =
[credential]
	helper =
[gc]
	auto = 0
[maintenance]
	auto = false
[fetch]
	recurseSubmodules = false
[http]
	followRedirects = false
	lowSpeedLimit = 1000
	lowSpeedTime = 20
[uploadpack]
	allowAnySHA1InWant = true
"""

NO_TARGET = GitTarget("")
"""For what asks no other host."""


VERSION = re.compile(r"(\d+)\.(\d+)")
VERSION_TIMEOUT_S = 10.0
MIN_VERSION = (2, 37)
"""The first Git that connects to addresses that it is given."""


class GitClient:
    """`home` is a folder of our own, made whenever it is missing."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._configuration = home / "gitconfig"
        self._ensure_home()
        self._configuration.write_text(CONFIGURATION)

    async def run(
        self,
        *arguments: str,
        folder: Path | None = None,
        credentials: Credentials = NO_CREDENTIALS,
        target: GitTarget = NO_TARGET,
        stdin_data: bytes = b"",
        timeout: float,
        idle_timeout: float | None = None,
    ) -> bytes:
        """What Git printed. Raises GitFailed with Git's own reason, free of credentials.

        `silence` is how many seconds it may print nothing at all, for commands that tell their progress.
        """
        self._ensure_home()
        with write_auth_files(credentials, self._home, target.ssh_options) as auth:
            auth = replace(auth, environment={**auth.environment, **target.environment})
            try:
                async with asyncio.timeout(timeout), self._start_process(arguments, folder, auth) as process:
                    output, errors = await communicate(get_pipes(process), stdin_data, idle_timeout)
                    code = await process.wait()
            except IdleTimeout as error:
                raise GitFailed(
                    f"the repository's server has said nothing for {idle_timeout:g} s and was given up"
                ) from error
            except TimeoutError as error:
                raise GitFailed(f"git {arguments[0]} took longer than {timeout:g} s and was stopped") from error
        if code != 0:
            raise GitFailed(
                explain_git_error(errors.decode(errors="replace"), auth.hidden) or f"git ended with code {code}"
            )
        return output

    async def stream(self, *arguments: str, folder: Path, timeout: float) -> AsyncGenerator[bytes, None]:
        """What Git prints, in pieces; for output that may be large."""
        async with asyncio.timeout(timeout), self._start_process(arguments, folder, GitAuth()) as process:
            pipes = get_pipes(process)
            pipes.stdin.close()
            while chunk := await pipes.stdout.read(CHUNK_BYTES):
                yield chunk
            errors = await read_stderr(pipes)
            if await process.wait() != 0:
                raise GitFailed(explain_git_error(errors.decode(errors="replace")))

    async def get_version(self) -> tuple[int, ...]:
        """As `git version 2.39.5 (Apple Git-154)` tells it."""
        match = VERSION.search((await self.run("version", timeout=VERSION_TIMEOUT_S)).decode(errors="replace"))
        return tuple(map(int, match.groups())) if match else ()

    async def find_redirect_location(self, target: GitTarget, credentials: Credentials, timeout: float) -> str:
        """Where a repository that redirects has moved to, by its own word; empty when it does not say."""
        self._ensure_home()
        with tempfile.TemporaryDirectory(prefix="trace-", dir=self._home) as folder:
            trace = Path(folder) / "trace"
            tracing = {"GIT_TRACE_CURL": str(trace), "GIT_TRACE_CURL_NO_DATA": "1"}
            traced = replace(target, environment={**target.environment, **tracing})
            with suppress(GitFailed):
                await self.run("ls-remote", "--", target.url, credentials=credentials, target=traced, timeout=timeout)
            return find_last_location(trace.read_text(errors="replace") if trace.exists() else "")

    def _ensure_home(self) -> None:
        """Somebody may remove what lies in the data folder while we run; Git goes by no other configuration."""
        if not self._configuration.is_file():
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._configuration.write_text(CONFIGURATION)

    @asynccontextmanager
    async def _start_process(
        self, arguments: tuple[str, ...], folder: Path | None, auth: GitAuth
    ) -> AsyncIterator[Process]:
        process = await asyncio.create_subprocess_exec(
            *GIT_WITH_LIMITS,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=folder or self._home,
            env={**self._build_environment(folder), **auth.environment},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            await _kill_process(process)

    def _build_environment(self, folder: Path | None) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ},
            **({"GIT_DIR": str(folder)} if folder else {}),
            "HOME": str(self._home),
            "LC_ALL": "C",
            "GIT_CEILING_DIRECTORIES": str(self._home.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self._configuration),
            "GIT_ALLOW_PROTOCOL": PROTOCOLS,
            "GIT_TERMINAL_PROMPT": "0",
        }


async def _kill_process(process: Process) -> None:
    """Kill Git and the helpers that it started, in whatever state they are."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    async with asyncio.timeout(KILL_WAIT_S):
        await process.wait()
