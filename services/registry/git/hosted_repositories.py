"""The built-in Git repositories: bare, one an app, in the registry's data folder."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from libs.common.errors import NotFound
from services.registry.git.address_policy import GitTarget, build_local_target
from services.registry.git.bare_repository import BRANCH_PREFIX, init_bare
from services.registry.git.client import GitClient
from services.registry.git.error_messages import GitFailed
from services.registry.git.first_commit import FirstCommit
from services.registry.git.tags import TAG_PREFIX, find_newest_tag

COMMAND_TIMEOUT_S = 20.0
COPY_TIMEOUT_S = 120.0
PROMOTED_PREFIX = "refs/mlmesh/promoted/"
"""Of commits that came from another app: clients do not see such refs, and they keep the commits."""
FETCH_COMMAND = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
MAINTENANCE_TIMEOUT_S = 600.0
NEW_PREFIX = "new-"
"""Of folders in which a repository is made; one that is older than MAX_NEW_AGE_S is what a killed registry left."""
MAX_NEW_AGE_S = 3600.0
UNFINISHED = "mlmesh-unfinished"
"""A file in a repository whose app is not recorded yet."""


class NothingPushed(NotFound):
    """Nothing was pushed to the built-in repository yet."""

    def __init__(self, url: str, branch: str, tags: str | None = None) -> None:
        first = "the first commit" if tags is None else f"a tag that matches {tags}"
        name = branch if tags is None else "TAG"
        super().__init__(f"nothing was pushed yet; push {first} with: git push {url} {name}")


class HostedRepositories:
    """Repositories below `folder`. `public_url` is the address of the mesh."""

    def __init__(self, folder: Path, git: GitClient, public_url: str) -> None:
        self._folder = folder
        self._git = git
        self._public_url = public_url

    def get_url(self, app: str) -> str:
        """The address for `git push` and `git clone`."""
        return f"{self._public_url}/git/{app}.git"

    def get_folder(self, app: str) -> Path:
        return self._folder / f"{app}.git"

    def get_target(self, app: str) -> GitTarget:
        """For fetching commits into the cache: the folder is the registry's own, so no policy is asked."""
        return build_local_target(self.get_folder(app))

    def exists(self, app: str) -> bool:
        return (self.get_folder(app) / "HEAD").is_file()

    async def ensure_repository(self, app: str) -> Path:
        """The repository's folder, which the first push creates."""
        if not self.exists(app):
            await self._create(self.get_folder(app))
        return self.get_folder(app)

    async def _create(self, folder: Path) -> None:
        """Whole, or not at all; of two at once the first one stays."""
        async with self._open_new_repository() as new:
            with suppress(OSError):  # it is there by now
                new.rename(folder)

    @asynccontextmanager
    async def _open_new_repository(self) -> AsyncIterator[Path]:
        """A repository in a temporary folder, from where it may be moved."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=NEW_PREFIX, dir=self._folder) as name:
            new = Path(name) / "repository"
            await init_bare(self._git, new)
            yield new

    @asynccontextmanager
    async def prepare_repository(self, commit: FirstCommit) -> AsyncIterator[Path]:
        """A repository of one commit, marked as unfinished; it is removed unless `place_repository` moves it."""
        async with self._open_new_repository() as new:
            (new / UNFINISHED).touch()
            await self._git.run(
                "fast-import", "--quiet", "--done", folder=new, stdin_data=commit.encode(), timeout=COMMAND_TIMEOUT_S
            )
            await self._git.run(
                "symbolic-ref", "HEAD", f"{BRANCH_PREFIX}{commit.branch}", folder=new, timeout=COMMAND_TIMEOUT_S
            )
            yield new

    def place_repository(self, prepared: Path, app: str) -> None:
        """Make it the app's, instead of one without an app: an empty one, or what a killed registry left."""
        folder = self.get_folder(app)
        if folder.exists():
            folder.rename(prepared.with_name("former"))  # removed with the temporary folder
        prepared.rename(folder)

    def finish_repository(self, app: str) -> None:
        """The app is recorded."""
        (self.get_folder(app) / UNFINISHED).unlink(missing_ok=True)

    def list_unfinished(self) -> list[str]:
        """Apps whose repositories are marked as unfinished."""
        return sorted(path.parent.name.removesuffix(".git") for path in self._folder.glob(f"*.git/{UNFINISHED}"))

    async def remove_old_temporaries(self) -> None:
        for folder in self._folder.glob(f"{NEW_PREFIX}*"):
            with suppress(FileNotFoundError):  # it has been moved
                if time.time() - folder.stat().st_mtime > MAX_NEW_AGE_S:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def read_ref(self, app: str, ref: str) -> str | None:
        """The commit of a ref such as refs/heads/main; None when there is none."""
        try:
            output = await self._run(app, "rev-parse", "--verify", "--quiet", ref)
        except GitFailed:
            return None
        return output.decode().strip()

    async def list_tags(self, app: str) -> set[str]:
        """The names of its tags."""
        refs = (await self._run(app, "for-each-ref", "--format=%(refname)", TAG_PREFIX)).decode(errors="replace")
        return {ref.removeprefix(TAG_PREFIX) for ref in refs.splitlines()}

    async def find_followed_ref(self, app: str, branch: str, tags: str | None) -> str | None:
        """The branch, or the newest tag that matches `tags`; None when no tag does."""
        if tags is None:
            return f"{BRANCH_PREFIX}{branch}"
        newest = find_newest_tag(tags, await self.list_tags(app))
        return None if newest is None else f"{TAG_PREFIX}{newest}"

    async def set_default_branch(self, app: str, branch: str) -> None:
        """What a clone checks out, and what a push may not delete."""
        await self._run(app, "symbolic-ref", "HEAD", f"{BRANCH_PREFIX}{branch}")

    async def copy_commit(self, source: str, target: str, commit: str) -> None:
        """Bring a commit of one app's repository, with its history, into another's; no branch there moves."""
        await self.ensure_repository(target)
        origin = self.get_target(source)
        refspec = f"+{commit}:{PROMOTED_PREFIX}{commit}"
        arguments = (*FETCH_COMMAND, *origin.arguments, "--", origin.url, refspec)
        await self._run(target, *arguments, timeout=COPY_TIMEOUT_S)

    async def has_promoted(self, app: str, commit: str) -> bool:
        return await self.read_ref(app, f"{PROMOTED_PREFIX}{commit}") is not None

    async def drop_promoted(self, app: str, commit: str) -> None:
        """Take back `copy_commit`: maintenance deletes what only it had brought."""
        await self._run(app, "update-ref", "-d", f"{PROMOTED_PREFIX}{commit}")

    async def is_related(self, app: str, commit: str, commits: Iterable[str]) -> bool:
        """Whether a commit has an ancestor in common with one of `commits`, or is one of them."""
        for other in commits:
            with suppress(GitFailed):
                await self._run(app, "merge-base", commit, other)
                return True
        return False

    async def delete(self, app: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self.get_folder(app), ignore_errors=True)

    async def remove_leftovers(self, app: str) -> None:
        """Objects of pushes that broke off. To be called while nobody pushes."""
        for folder in self.get_folder(app).glob("objects/tmp_objdir-*"):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def list_apps(self) -> list[str]:
        return sorted(folder.name.removesuffix(".git") for folder in self._folder.glob("*.git"))

    async def maintain(self, app: str) -> None:
        """Merge packs, and delete unreachable objects of more than a day. To be called while nobody pushes."""
        await self._run(app, "repack", "--geometric=2", "-d", "-q", timeout=MAINTENANCE_TIMEOUT_S)
        await self._run(app, "prune", "--expire=1.day.ago", timeout=MAINTENANCE_TIMEOUT_S)

    async def _run(self, app: str, *arguments: str, timeout: float = COMMAND_TIMEOUT_S) -> bytes:
        return await self._git.run(*arguments, folder=self.get_folder(app), timeout=timeout)
