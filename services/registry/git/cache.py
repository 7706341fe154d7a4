"""An app's repository as Git has it: its head, a commit's manifests, its whole tree. A shallow bare cache per app.

The cache is worth nothing but time: it may be lost at any moment and is made anew from the repository.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from libs.common import log
from services.registry.git.address_policy import Locations
from services.registry.git.client import PINS, Git
from services.registry.git.error_messages import NO_REF, GitFailed, NoBranch, no_branch
from services.registry.git.remotes import Origin
from services.registry.git.transport import Remote
from services.registry.git.tree import Contents, Entry, affordable, contents_of, entries_of, manifests_of, split

MAX_MESSAGE = 2000
"""Characters of a commit's message that are kept."""
FETCH_TIMEOUT_S = 120.0
SILENCE_S = 20.0
HEAD_TIMEOUT_S = 20.0
MARGIN_S = 1.0
"""A command that prints all at its end is judged by its silence, which has the better sentence."""
READ_TIMEOUT_S = 20.0
ARCHIVE_TIMEOUT_S = 300.0
MAX_LISTED = 10_000
"""Paths of one commit that warnings may be about; nothing is told of more."""
MAX_READ = 4 * 2**20
"""Bytes that are read for warnings."""
BRANCHES = "refs/heads/"
HEAD = "refs/mlmesh/head"
ATTRIBUTES = "* -export-ignore -export-subst\n"
"""The archive is the tree as it was committed, whatever its .gitattributes say."""
FETCH = (
    "fetch", "--progress", "--force", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
    "--no-auto-maintenance",
)  # fmt: skip
OLD_GIT = "this Git cannot be held to the addresses of hosts that were judged; install 2.37 or newer"


@dataclass(frozen=True)
class Commit:
    id: str
    author: str
    message: str
    at: float


class Source:
    """Copies of the apps' repositories below `folder`; `locations` says where the repositories may be."""

    def __init__(self, folder: Path, locations: Locations, silence: float = SILENCE_S) -> None:
        """A server that says nothing for `silence` seconds of a fetch is given up."""
        self._silence = silence
        self._folder = folder / "git"
        self._git = Git(folder / "home")
        self._remote = Remote(self._git, locations)
        self._locks: dict[str, asyncio.Lock] = {}

    async def warn(self) -> None:
        """Say in the log what this host's Git cannot do."""
        try:
            version = await self._git.version()
        except (GitFailed, OSError):
            version = ()
        if version < PINS:
            log.get("registry").warning(OLD_GIT, version=".".join(map(str, version)) or "none")

    async def head(self, origin: Origin, timeout: float = HEAD_TIMEOUT_S) -> str:
        """The branch's newest commit, asked without fetching. Raises NoBranch."""
        heads = await self._heads(origin, f"{BRANCHES}{origin.branch}", timeout)
        if origin.branch not in heads:
            raise await self._no_branch(origin, timeout)
        return heads[origin.branch]

    async def _heads(self, origin: Origin, pattern: str, timeout: float) -> dict[str, str]:
        """Branches and their newest commits."""
        output = await self._remote.ask(
            origin, ("ls-remote", "--quiet"), pattern, timeout=timeout + MARGIN_S, silence=timeout
        )
        lines = (line.partition("\t") for line in output.decode(errors="replace").splitlines())
        return {ref.removeprefix(BRANCHES): commit for commit, _, ref in lines if ref.startswith(BRANCHES)}

    async def _no_branch(self, origin: Origin, timeout: float) -> NoBranch:
        others = await self._heads(origin, f"{BRANCHES}*", timeout)
        return NoBranch(no_branch(origin.branch, sorted(others), seen=origin.seen))

    async def fetch(self, app: str, origin: Origin, commit: str | None = None) -> Commit:
        """Bring the branch's head, or `commit`, into the cache. Raises GitFailed with Git's reason."""
        async with self._locks.setdefault(app, asyncio.Lock()):
            try:
                return await self._brought(app, origin, commit)
            except GitFailed:
                if await self._is_whole(app):
                    raise
            log.get("registry").warning("a damaged copy of a repository is fetched anew", app=app)
            await asyncio.to_thread(shutil.rmtree, self._path(app), ignore_errors=True)
            return await self._brought(app, origin, commit)

    async def _brought(self, app: str, origin: Origin, commit: str | None) -> Commit:
        cache = await self._cache(app)
        if commit is None:
            await self._fetch_branch(cache, origin)
        elif not await self.has(app, commit):
            await self._fetched(cache, origin, commit)
        return await self._commit(cache, commit or HEAD)

    async def _is_whole(self, app: str) -> bool:
        """Whether Git takes it for a repository, and what it last brought can be read."""
        cache = self._path(app)
        if not cache.is_dir():
            return True
        try:
            await self._git.run("rev-parse", "--git-dir", folder=cache, timeout=READ_TIMEOUT_S)
            if (cache / HEAD).exists():
                await self._git.run("ls-tree", "-r", HEAD, folder=cache, timeout=READ_TIMEOUT_S)
        except GitFailed:
            return False
        return True

    async def has(self, app: str, commit: str) -> bool:
        cache = self._path(app)
        if not cache.is_dir():
            return False
        try:
            await self._git.run("cat-file", "-e", f"{commit}^{{commit}}", folder=cache, timeout=READ_TIMEOUT_S)
        except GitFailed:
            return False
        return True

    async def manifests(self, app: str, commit: str, path: str) -> dict[str, bytes]:
        """Every manifest below `path`, by its path in the repository. Raises Refused before reading too much."""
        cache = self._path(app)
        where = () if path == "." else ("--", path)
        arguments = ("ls-tree", "-r", "-l", "-z", "--full-tree", commit, *where)
        listing = await self._git.run(*arguments, folder=cache, timeout=READ_TIMEOUT_S)
        return await self._contents(cache, manifests_of(list(entries_of(listing)), path, commit))

    async def contents(self, app: str, commit: str) -> Contents:
        """What of the whole tree a warning may be about; nothing of a tree that cannot be listed in time."""
        cache = self._path(app)
        try:
            told = await self._told(cache, commit)
            read = affordable([entry for entry in told if entry.is_read], MAX_READ)
            return contents_of(told, await self._contents(cache, read))
        except (TimeoutError, GitFailed) as error:
            about = {"app": app, "commit": commit, "why": str(error) or "it took too long"}
            log.get("registry").warning("the tree of a commit was not looked at", **about)
            return Contents()

    async def _told(self, cache: Path, commit: str) -> list[Entry]:
        """At most MAX_LISTED entries, of a tree of any size."""
        arguments, found, rest = ("ls-tree", "-r", "-l", "-z", "--full-tree", commit), list[Entry](), b""
        async with aclosing(self._git.stream(*arguments, folder=cache, timeout=READ_TIMEOUT_S)) as pieces:
            async for piece in pieces:
                whole, _, rest = (rest + piece).rpartition(b"\0")
                found += (entry for entry in entries_of(whole) if entry.is_told)
                if len(found) >= MAX_LISTED:
                    break
        return found[:MAX_LISTED]

    def archive(self, app: str, commit: str) -> AsyncIterator[bytes]:
        """A gzipped tar of the tree at a commit that the cache has."""
        return self._git.stream(
            "archive", "--format=tar.gz", "-1", commit, folder=self._path(app), timeout=ARCHIVE_TIMEOUT_S
        )

    async def forget(self, app: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._path(app), ignore_errors=True)
        self._locks.pop(app, None)

    def _path(self, app: str) -> Path:
        return self._folder / f"{app}.git"

    async def _cache(self, app: str) -> Path:
        cache = self._path(app)
        if not (cache / "info" / "attributes").is_file():
            arguments = ("init", "--quiet", "--bare", "--template=", str(cache))
            await self._git.run(*arguments, timeout=READ_TIMEOUT_S)
            (cache / "info").mkdir(exist_ok=True)
            (cache / "info" / "attributes").write_text(ATTRIBUTES)
        _clear_leftovers(cache)
        return cache

    async def _fetch_branch(self, cache: Path, origin: Origin) -> None:
        try:
            await self._fetched(cache, origin, f"+{BRANCHES}{origin.branch}:{HEAD}")
        except GitFailed as error:
            if NO_REF not in error.detail:
                raise
            raise await self._no_branch(origin, HEAD_TIMEOUT_S) from error

    async def _fetched(self, cache: Path, origin: Origin, what: str) -> None:
        await self._remote.ask(origin, FETCH, what, folder=cache, timeout=FETCH_TIMEOUT_S, silence=self._silence)

    async def _commit(self, cache: Path, revision: str) -> Commit:
        arguments = ("log", "-1", "--no-show-signature", "--format=%H%x00%an <%ae>%x00%ct%x00%B", revision, "--")
        output = await self._git.run(*arguments, folder=cache, timeout=READ_TIMEOUT_S)
        commit, author, at, message = output.decode(errors="replace").split("\0", 3)
        return Commit(commit, author, message.strip()[:MAX_MESSAGE], float(at))

    async def _contents(self, cache: Path, entries: list[Entry]) -> dict[str, bytes]:
        wanted = "".join(f"{entry.oid}\n" for entry in entries).encode()
        output = await self._git.run("cat-file", "--batch", folder=cache, given=wanted, timeout=READ_TIMEOUT_S)
        return dict(split(output, entries))


def _clear_leftovers(cache: Path) -> None:
    """What a killed fetch left would stop the next one; only one runs at a time, so whatever is here is nobody's."""
    for lock in (*cache.glob("*.lock"), *cache.glob("refs/**/*.lock"), *cache.glob("objects/pack/tmp_*")):
        lock.unlink(missing_ok=True)
