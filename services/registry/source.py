"""An app's repository as Git has it: its head, a commit's manifests, its whole tree. A shallow bare cache per app.

The cache is worth nothing but time: it may be lost at any moment and is made anew from the repository.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from libs.common.manifests import Problem
from libs.common.manifests.reading import MAX_FILE, MAX_FILES, MAX_TOTAL
from services.registry.credentials import NOBODY, Credentials
from services.registry.git import Git, GitFailed

MAX_MESSAGE = 2000
"""Characters of a commit's message that are kept."""
SUFFIXES = (".yaml", ".yml")
FETCH_TIMEOUT_S = 120.0
HEAD_TIMEOUT_S = 20.0
READ_TIMEOUT_S = 20.0
ARCHIVE_TIMEOUT_S = 300.0
HEAD = "refs/mlmesh/head"
ATTRIBUTES = "* -export-ignore -export-subst\n"
"""The archive is the tree as it was committed, whatever its .gitattributes say."""
FETCH = (
    "fetch", "--quiet", "--force", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
    "--no-auto-maintenance", "--",
)  # fmt: skip
REGULAR = ("100644", "100755")


@dataclass(frozen=True)
class Origin:
    """Where an app's manifests come from."""

    url: str
    branch: str = "main"
    path: str = "manifests"
    credentials: Credentials = NOBODY


@dataclass(frozen=True)
class Commit:
    id: str
    author: str
    message: str
    at: float


@dataclass(frozen=True)
class Entry:
    """One file of a commit."""

    mode: str
    oid: str
    size: int
    path: str


class Refused(Exception):
    """The manifests of a commit are too many, too large, not there, or wrong."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


class Source:
    """All repositories of this host, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "git"
        self._git = Git(folder / "home")
        self._locks: dict[str, asyncio.Lock] = {}

    async def head(self, origin: Origin, timeout: float = HEAD_TIMEOUT_S) -> str | None:
        """The branch's newest commit, asked without fetching; None when there is no such branch."""
        ref = f"refs/heads/{origin.branch}"
        arguments = ("ls-remote", "--quiet", "--", origin.url, ref)
        output = await self._git.run(*arguments, credentials=origin.credentials, timeout=timeout)
        lines = (line.split("\t", 1) for line in output.decode(errors="replace").splitlines())
        return next((line[0] for line in lines if len(line) == 2 and line[1] == ref), None)

    async def fetch(self, app: str, origin: Origin, commit: str | None = None) -> Commit:
        """Bring the branch's head, or `commit`, into the cache. Raises GitFailed with Git's reason."""
        async with self._locks.setdefault(app, asyncio.Lock()):
            cache = await self._cache(app)
            if commit is None:
                await self._fetched(cache, origin, f"+refs/heads/{origin.branch}:{HEAD}")
            elif not await self.has(app, commit):
                await self._fetched(cache, origin, commit)
            return await self._commit(cache, commit or HEAD)

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
        chosen = checked(manifests_of(listing), path, commit)
        return await self._contents(cache, chosen)

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

    async def _fetched(self, cache: Path, origin: Origin, what: str) -> None:
        arguments = (*FETCH, origin.url, what)
        await self._git.run(*arguments, folder=cache, credentials=origin.credentials, timeout=FETCH_TIMEOUT_S)

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


def manifests_of(listing: bytes) -> list[Entry]:
    """The YAML files of `git ls-tree -r -l -z`: `<mode> <type> <oid> <size>\\t<path>`, each ended by NUL."""
    found = []
    for line in listing.decode(errors="replace").split("\0"):
        facts, _, path = line.partition("\t")
        if PurePosixPath(path).suffix in SUFFIXES:
            mode, _kind, oid, size = facts.split()
            found.append(Entry(mode, oid, int(size) if size.isdigit() else 0, path))
    return found


def checked(entries: list[Entry], path: str, commit: str) -> list[Entry]:
    """`entries`, or Refused with the first reason not to read them."""
    if not entries:
        raise Refused(Problem(path, 1, 1, f"there is no manifest (*.yaml, *.yml) in {path} at commit {commit[:12]}"))
    for entry in entries:
        if entry.mode not in REGULAR:
            raise Refused(Problem(entry.path, 1, 1, "not a regular file; commit the manifest itself instead of a link"))
        if entry.size > MAX_FILE:
            said = f"{entry.size} bytes are too large for a manifest; at most {MAX_FILE} are read"
            raise Refused(Problem(entry.path, 1, 1, f"{said}; keep data out of {path}"))
    if len(entries) > MAX_FILES:
        raise Refused(Problem(path, 1, 1, f"{len(entries)} manifests; at most {MAX_FILES} are read, merge some"))
    if (total := sum(entry.size for entry in entries)) > MAX_TOTAL:
        raise Refused(Problem(path, 1, 1, f"manifests of {total} bytes; at most {MAX_TOTAL} are read in all"))
    return entries


def split(output: bytes, entries: list[Entry]) -> Mapping[str, bytes]:
    """The answers of `git cat-file --batch` (`<oid> <type> <size>\\n<content>\\n` each), in the order asked."""
    found: dict[str, bytes] = {}
    position = 0
    for entry in entries:
        start = output.index(b"\n", position) + 1
        found[entry.path] = output[start : start + entry.size]
        position = start + entry.size + 1
    return found
