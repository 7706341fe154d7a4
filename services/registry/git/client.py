"""Runs Git as a subprocess: https, ssh and file only, no prompts, hooks or submodules, bounded time and size.

Git follows no redirects: they may lead to hosts that the address policy has not checked. Every call has its own HOME
and environment, so the configuration of the host or the user has no effect; credentials are never arguments.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from libs.common.idle_timeout import IdleTimeout
from services.registry.git.address_policy import GitTarget
from services.registry.git.credentials import NO_CREDENTIALS, Credentials, write_auth_files
from services.registry.git.error_messages import GitFailed, explain_git_error, find_last_location
from services.registry.git.process import GitProcess, end_process, start_process
from services.registry.git.process_io import CHUNK_BYTES, communicate, read_stderr

MAX_FILE_BYTES = 1 << 30
"""The largest file (a pack) that Git may write."""
LARGER_THAN = "the newest commit is larger than"
INDEX_PACK_ENDED = "invalid index-pack output"
PROTOCOLS = "https:http:ssh:file"
INHERITED_VARIABLES = (
    "PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "http_proxy", "https_proxy", "HTTPS_PROXY",
    "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
)  # fmt: skip
GIT_WITH_LIMIT = ("/bin/sh", "-c", 'ulimit -f "$0" && exec git "$@"')
LIMIT_UNIT_BYTES = 512
"""POSIX counts `ulimit -f` in these."""
# A fetched pack stays one: unpacking a large file is silent for minutes, which looks like a server that hangs.
CONFIGURATION = """\
[safe]
	directory = *
[core]
	hooksPath = /dev/null
	fsmonitor = false
	askPass =
	bigFileThreshold = 16m
[credential]
	helper =
[gc]
	auto = 0
[maintenance]
	auto = false
[fetch]
	recurseSubmodules = false
	unpackLimit = 1
[http]
	followRedirects = false
	lowSpeedLimit = 1000
	lowSpeedTime = 20
[uploadpack]
	allowAnySHA1InWant = true
"""

NO_TARGET = GitTarget("")
"""For commands without a remote."""
NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


VERSION = re.compile(r"(\d+)\.(\d+)")
VERSION_TIMEOUT_S = 10.0
MIN_VERSION = (2, 37)
"""The first version with http.curloptResolve, which pins connections to checked addresses."""


class GitClient:
    """`home` is Git's HOME; it is created again when it is removed."""

    def __init__(self, home: Path, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._home, self._max_file_bytes = home, max_file_bytes
        self._configuration = home / "gitconfig"
        self._ensure_home()
        self._configuration.write_text(CONFIGURATION)

    async def run(
        self,
        *arguments: str,
        folder: Path | None = None,
        credentials: Credentials = NO_CREDENTIALS,
        target: GitTarget = NO_TARGET,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
        stdin_data: bytes = b"",
        timeout: float,
        idle_timeout: float | None = None,
    ) -> bytes:
        """Run a command and return its output. Raises GitFailed with Git's own message, without credentials.

        `environment` is added to Git's. `idle_timeout` is the longest time in seconds without output, for commands that
        report progress.
        """
        self._ensure_home()
        with write_auth_files(credentials, self._home, target.ssh_options) as auth:
            variables = {**auth.environment, **target.environment, **environment}
            try:
                async with (
                    asyncio.timeout(timeout),
                    self.start(*arguments, folder=folder, environment=variables) as process,
                ):
                    output, errors = await communicate(process, stdin_data, idle_timeout)
                    code = await process.wait()
            except IdleTimeout as error:
                raise GitFailed(
                    f"the repository's server sent nothing for {idle_timeout:g} s; Git was stopped"
                ) from error
            except TimeoutError as error:
                raise GitFailed(f"git {arguments[0]} took longer than {timeout:g} s and was stopped") from error
        if code != 0:
            text = errors.decode(errors="replace")
            raise GitFailed(
                self._explain_limit(text, folder)
                or explain_git_error(text, auth.hidden)
                or f"git ended with code {code}"
            )
        return output

    def _explain_limit(self, errors: str, folder: Path | None) -> str | None:
        """Of a program that the system ended because its file became too large; Git does not say so of index-pack."""
        is_told = f"died of signal {signal.SIGXFSZ.value}" in errors
        if not is_told and (INDEX_PACK_ENDED not in errors or not self._has_full_pack(folder)):
            return None
        size = self._max_file_bytes // 1_000_000
        return f"{LARGER_THAN} {size} MB: keep data out of Git, in a DataBox (mlmesh box put)"

    def _has_full_pack(self, folder: Path | None) -> bool:
        packs = folder.glob("objects/pack/tmp_pack_*") if folder is not None else ()
        return any(pack.stat().st_size > self._max_file_bytes - LIMIT_UNIT_BYTES for pack in packs)

    async def stream(self, *arguments: str, folder: Path, timeout: float) -> AsyncGenerator[bytes, None]:
        """Run a command and yield its output in chunks, for large output."""
        async with asyncio.timeout(timeout), self.start(*arguments, folder=folder) as process:
            process.stdin.close()
            while chunk := await process.stdout.read(CHUNK_BYTES):
                yield chunk
            errors = await read_stderr(process)
            if await process.wait() != 0:
                raise GitFailed(explain_git_error(errors.decode(errors="replace")))

    async def get_version(self) -> tuple[int, ...]:
        """Parsed from `git version 2.39.5 (Apple Git-154)`; empty when unknown."""
        match = VERSION.search((await self.run("version", timeout=VERSION_TIMEOUT_S)).decode(errors="replace"))
        return tuple(map(int, match.groups())) if match else ()

    async def find_redirect_location(self, target: GitTarget, credentials: Credentials, timeout: float) -> str:
        """The Location header of a repository that redirects (read from a trace of curl), or empty."""
        self._ensure_home()
        with tempfile.TemporaryDirectory(prefix="trace-", dir=self._home) as folder:
            trace = Path(folder) / "trace"
            tracing = {"GIT_TRACE_CURL": str(trace), "GIT_TRACE_CURL_NO_DATA": "1"}
            traced = replace(target, environment={**target.environment, **tracing})
            with suppress(GitFailed):
                await self.run("ls-remote", "--", target.url, credentials=credentials, target=traced, timeout=timeout)
            return find_last_location(trace.read_text(errors="replace") if trace.exists() else "")

    def _ensure_home(self) -> None:
        """The data folder may be removed while the service runs; Git must not fall back to another configuration."""
        if not self._configuration.is_file():
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._configuration.write_text(CONFIGURATION)

    @asynccontextmanager
    async def start(
        self,
        *arguments: str,
        folder: Path | None = None,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
        pass_fds: tuple[int, ...] = (),
    ) -> AsyncIterator[GitProcess]:
        """A running command; it is killed at the end, with the programs that it started."""
        self._ensure_home()
        process = await start_process(
            (*GIT_WITH_LIMIT, str(self._max_file_bytes // LIMIT_UNIT_BYTES), *arguments),
            folder or self._home,
            {**self._build_environment(folder), **environment},
            pass_fds,
        )
        try:
            yield process
        finally:
            await end_process(process)

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


def config_options(settings: Iterable[str]) -> tuple[str, ...]:
    """Options of git for settings such as `receive.autogc=false`."""
    return tuple(option for setting in settings for option in ("-c", setting))
