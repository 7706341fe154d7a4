"""A cache of shallow bare clones, one an app: the remote's head, a commit's manifests, its whole tree.

The cache only saves time: it may be lost at any moment and is fetched again from the remote.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from libs.common import log
from services.registry.git.address_policy import AddressPolicy
from services.registry.git.bare_repository import BRANCH_PREFIX, init_bare, is_initialized
from services.registry.git.client import MIN_VERSION, GitClient
from services.registry.git.commit_reader import READ_TIMEOUT_S, CommitReader
from services.registry.git.error_messages import (
    NO_REF,
    GitFailed,
    RefNotFound,
    describe_missing_branch,
    describe_missing_tag,
)
from services.registry.git.local_heads import LocalHeads, read_ref_state
from services.registry.git.remotes import GitRemote
from services.registry.git.tags import ALL_TAGS, TAG_PREFIX, find_newest_tag, parse_tags
from services.registry.git.transport import GitTransport
from services.registry.git.tree import TreeContents

MAX_MESSAGE = 2000
"""Characters; the rest of a commit's message is cut."""
FETCH_TIMEOUT_S = 120.0
IDLE_TIMEOUT_S = 20.0
HEAD_TIMEOUT_S = 20.0
TIMEOUT_MARGIN_S = 1.0
"""Lets the idle timeout end a command before the total timeout: its message is clearer."""
ARCHIVE_TIMEOUT_S = 300.0
REPACK_TIMEOUT_S = 60.0
MAX_PACKS = 50
"""Of one clone: each fetch brings one, and Git looks through all of them."""
HEAD_REF = "refs/mlmesh/head"
FETCH_COMMAND = (
    "fetch", "--progress", "--force", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
    "--no-auto-maintenance",
)  # fmt: skip
OLD_GIT_WARNING = "Git is too old to connect to checked addresses only; install 2.37 or newer"


@dataclass(frozen=True)
class Commit:
    """`tag`: the newest one that is followed, when tags are."""

    id: str
    author: str
    message: str
    committed_at: float
    tag: str | None = None


class GitCache:
    """Clones below `folder`; `address_policy` decides which remotes may be contacted."""

    def __init__(
        self, folder: Path, git: GitClient, address_policy: AddressPolicy, idle_timeout: float = IDLE_TIMEOUT_S
    ) -> None:
        """A fetch without output for `idle_timeout` seconds is stopped."""
        self._idle_timeout = idle_timeout
        self._folder = folder
        self._git = git
        self._transport = GitTransport(git, address_policy)
        self._locks: dict[str, asyncio.Lock] = {}
        self._local_heads = LocalHeads()

    async def check_git_version(self) -> None:
        """Log a warning when this host's Git cannot pin connections."""
        try:
            version = await self._git.get_version()
        except (GitFailed, OSError):
            version = ()
        if version < MIN_VERSION:
            log.get("registry").warning(OLD_GIT_WARNING, version=".".join(map(str, version)) or "none")

    async def read_remote_head(self, remote: GitRemote, timeout: float = HEAD_TIMEOUT_S) -> str:
        """The newest commit that is followed, by `git ls-remote` unless nothing has changed. Raises RefNotFound."""
        state = await asyncio.to_thread(read_ref_state, remote)
        if state and (head := self._local_heads.find(remote, state)):
            return head
        head = (await self._find_head(remote, timeout))[1]
        if state:
            self._local_heads.remember(remote, state, head)
        return head

    async def _find_head(self, remote: GitRemote, timeout: float) -> tuple[str, str]:
        """The branch or tag that is followed, and its commit. Raises RefNotFound."""
        if remote.tags is not None:
            return await self._find_newest_tag(remote, remote.tags, timeout)
        heads = await self._list_remote_heads(remote, f"{BRANCH_PREFIX}{remote.branch}", timeout)
        if remote.branch not in heads:
            raise await self._branch_not_found(remote, timeout)
        return f"{BRANCH_PREFIX}{remote.branch}", heads[remote.branch]

    async def _find_newest_tag(self, remote: GitRemote, pattern: str, timeout: float) -> tuple[str, str]:
        tags = parse_tags(await self._list_remote_refs(remote, timeout, ALL_TAGS))
        newest = await asyncio.to_thread(find_newest_tag, pattern, tags)
        if newest is not None:
            return f"{TAG_PREFIX}{newest}", tags[newest]
        raise RefNotFound(describe_missing_tag(pattern, sorted(tags), head_seen=remote.head_seen))

    async def _list_remote_heads(self, remote: GitRemote, pattern: str, timeout: float) -> dict[str, str]:
        """Branches that match `pattern`, with their newest commits."""
        listing = await self._list_remote_refs(remote, timeout, pattern)
        lines = (line.partition("\t") for line in listing.splitlines())
        return {ref.removeprefix(BRANCH_PREFIX): commit for commit, _, ref in lines if ref.startswith(BRANCH_PREFIX)}

    async def _list_remote_refs(self, remote: GitRemote, timeout: float, pattern: str) -> str:
        """Lines of commit and ref."""
        output = await self._transport.run(
            remote, ("ls-remote", "--quiet"), pattern, timeout=timeout + TIMEOUT_MARGIN_S, idle_timeout=timeout
        )
        return output.decode(errors="replace")

    async def _branch_not_found(self, remote: GitRemote, timeout: float) -> RefNotFound:
        heads = await self._list_remote_heads(remote, f"{BRANCH_PREFIX}*", timeout)
        return RefNotFound(describe_missing_branch(remote.branch, sorted(heads), head_seen=remote.head_seen))

    async def fetch(self, app: str, remote: GitRemote, commit: str | None = None) -> Commit:
        """Fetch the branch's head, or `commit`, into the cache; a damaged clone is replaced. Raises GitFailed."""
        async with self._locks.setdefault(app, asyncio.Lock()):
            try:
                return await self._fetch_commit(app, remote, commit)
            except GitFailed:
                await asyncio.to_thread(_remove_leftovers, self._cache_path(app))
                if await self._is_intact(app):
                    raise
            log.get("registry").warning("Cached clone is damaged; fetching it again", app=app)
            await asyncio.to_thread(shutil.rmtree, self._cache_path(app), ignore_errors=True)
            return await self._fetch_commit(app, remote, commit)

    async def _fetch_commit(self, app: str, remote: GitRemote, commit: str | None) -> Commit:
        cache = await self._ensure_cache(app)
        tag = None
        if commit is None:
            tag = await self._fetch_head(cache, remote)
        elif not await self.has_commit(app, commit):
            await self._fetch_into(cache, remote, commit)
        return replace(await self._read_commit(cache, commit or HEAD_REF), tag=tag)

    async def _is_intact(self, app: str) -> bool:
        """Whether the clone is a valid repository whose last head is readable."""
        cache = self._cache_path(app)
        if not cache.is_dir():
            return True
        try:
            await self._git.run("rev-parse", "--git-dir", folder=cache, timeout=READ_TIMEOUT_S)
            if (cache / HEAD_REF).exists():
                await self._git.run("ls-tree", "-r", HEAD_REF, folder=cache, timeout=READ_TIMEOUT_S)
        except GitFailed:
            return False
        return True

    async def has_commit(self, app: str, commit: str) -> bool:
        cache = self._cache_path(app)
        if not cache.is_dir():
            return False
        try:
            await self._git.run("cat-file", "-e", f"{commit}^{{commit}}", folder=cache, timeout=READ_TIMEOUT_S)
        except GitFailed:
            return False
        return True

    def get_reader(self, app: str) -> CommitReader:
        """Reads cached commits."""
        return CommitReader(self._git, self._cache_path(app))

    async def read_tree_contents(self, app: str, commit: str) -> TreeContents:
        """The links and package files of the tree, for warnings; empty when the tree cannot be read in time."""
        try:
            return await self.get_reader(app).read_tree_contents(commit)
        except (TimeoutError, GitFailed) as error:
            fields = {"app": app, "commit": commit, "why": str(error) or "timeout"}
            log.get("registry").warning("Could not read the tree of a commit; its warnings are missing", **fields)
            return TreeContents()

    def stream_archive(self, app: str, commit: str) -> AsyncIterator[bytes]:
        """A gzipped tar of the tree of a cached commit."""
        return self._git.stream(
            "archive", "--format=tar.gz", "-1", commit, folder=self._cache_path(app), timeout=ARCHIVE_TIMEOUT_S
        )

    async def delete(self, app: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._cache_path(app), ignore_errors=True)
        self._locks.pop(app, None)

    def _cache_path(self, app: str) -> Path:
        return self._folder / f"{app}.git"

    async def _ensure_cache(self, app: str) -> Path:
        cache = self._cache_path(app)
        if not is_initialized(cache):
            await init_bare(self._git, cache)
        _remove_leftovers(cache)
        return cache

    async def _fetch_head(self, cache: Path, remote: GitRemote) -> str | None:
        """The name of the tag that was fetched; None for a branch."""
        if remote.tags is not None:
            ref, _ = await self._find_newest_tag(remote, remote.tags, HEAD_TIMEOUT_S)
            await self._fetch_into(cache, remote, f"+{ref}:{HEAD_REF}")
            return ref.removeprefix(TAG_PREFIX)
        try:
            await self._fetch_into(cache, remote, f"+{BRANCH_PREFIX}{remote.branch}:{HEAD_REF}")
        except GitFailed as error:
            if NO_REF not in error.detail:
                raise
            raise await self._branch_not_found(remote, HEAD_TIMEOUT_S) from error
        return None

    async def _fetch_into(self, cache: Path, remote: GitRemote, refspec: str) -> None:
        await self._transport.run(
            remote, FETCH_COMMAND, refspec, folder=cache, timeout=FETCH_TIMEOUT_S, idle_timeout=self._idle_timeout
        )

        if await asyncio.to_thread(_count_packs, cache) > MAX_PACKS:
            with suppress(GitFailed):
                await self._git.run("repack", "--geometric=2", "-d", "-q", folder=cache, timeout=REPACK_TIMEOUT_S)

    async def _read_commit(self, cache: Path, revision: str) -> Commit:
        arguments = ("log", "-1", "--no-show-signature", "--format=%H%x00%an <%ae>%x00%ct%x00%B", revision, "--")
        output = await self._git.run(*arguments, folder=cache, timeout=READ_TIMEOUT_S)
        commit, author, committed_at, message = output.decode(errors="replace").split("\0", 3)
        return Commit(commit, author.removesuffix(" <>"), message.strip()[:MAX_MESSAGE], float(committed_at))


def _count_packs(cache: Path) -> int:
    return sum(1 for _ in cache.glob("objects/pack/*.pack"))


def _remove_leftovers(cache: Path) -> None:
    """Delete what a killed fetch left: fetches of an app run one at a time, so no process holds it."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/??/tmp_obj_*"):
        for leftover in cache.glob(pattern):
            leftover.unlink(missing_ok=True)
