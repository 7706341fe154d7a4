"""Virtual environments of repositories, made once for all that ask for the same packages and kept."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.common.packages import LIST, LISTED, READ, Packages, Unfit, packages
from services.worker.requirements import Local, lists_of
from services.worker.runtime import CannotRun, Progress

LOCK_POLL_S = 0.2
KEPT_LINES = 10
"""Last lines of pip that a failure tells."""


class Environments:
    """A finished environment holds the file `.complete`; it is built in place, as its scripts name that place."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, source: Path | None) -> Path:
        return self._root / key(wanted(source), source)

    async def build(self, source: Path | None, progress: Progress) -> None:
        """Raises CannotRun("source") with pip's last lines."""
        found = wanted(source)
        folder = self._root / key(found, source)
        complete = folder / ".complete"
        if complete.exists():
            return
        self._root.mkdir(parents=True, exist_ok=True)
        async with locked(folder.with_suffix(".lock")):
            if complete.exists():
                return
            shutil.rmtree(folder, ignore_errors=True)
            await self._make(folder, found, source, progress)
            complete.touch()

    async def _make(self, folder: Path, found: Packages, source: Path | None, progress: Progress) -> None:
        progress("making the virtual environment")
        seed = ["--without-pip"] if found == Packages() else []
        await run([sys.executable, "-m", "virtualenv", "--quiet", *seed, str(folder)], None, progress)
        if source is None or found == Packages():
            return
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        if found.whole:
            await self._install_whole([*pip, "."], source, progress)
            return
        listed = folder / LIST
        listed.write_text(found.lines or "")
        named = source / LIST if (source / LIST).is_file() else listed
        await run([*pip, "-r", str(named)], source, progress)

    async def _install_whole(self, command: list[str], source: Path, progress: Progress) -> None:
        """From a copy: a build writes beside what it reads, and the checkout is shared."""
        with tempfile.TemporaryDirectory(prefix="build-", dir=self._root) as folder:
            tree = await asyncio.to_thread(shutil.copytree, source, Path(folder) / "tree", symlinks=True)
            await run(command, tree, progress)


def wanted(source: Path | None) -> Packages:
    """What the repository asks for. Raises CannotRun("source")."""
    if source is None:
        return Packages()
    found = (path for pattern in LISTED for path in source.glob(pattern) if path.is_file())
    files = {path.relative_to(source).as_posix(): path.read_bytes() if path.name in READ else b"" for path in found}
    try:
        return packages(files)
    except Unfit as error:
        raise CannotRun("source", str(error)) from error


def key(found: Packages, source: Path | None) -> str:
    """The same for the same requirements; a repository that installs a part of itself has one for each commit."""
    version = f"{platform.python_implementation()} {platform.python_version()} {sys.prefix}"
    content = "" if found == Packages() or source is None else _content(found, source)
    return hashlib.sha256(f"{version}\n{content}".encode()).hexdigest()[:24]


def _content(found: Packages, source: Path) -> str:
    try:
        return f"c{source}" if found.lines is None else f"r{lists_of(found.lines, source)}"
    except Local:
        return f"c{source}\n{found.lines}"


async def run(command: list[str], cwd: Path | None, progress: Progress) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLMESH_")}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=own, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=1 << 20
    )
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    try:
        assert process.stdout is not None  # noqa: S101  asked for above
        async for line in process.stdout:
            if found := line.decode(errors="replace").strip():
                lines.append(found)
                progress(found[:200])
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code:
        raise CannotRun("source", "the requirements cannot be installed:\n" + "\n".join(lines))


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Alone among all workers that share the folder."""
    with path.open("w") as file:
        while not _taken(file.fileno()):  # noqa: ASYNC110  another process holds it
            await asyncio.sleep(LOCK_POLL_S)
        yield


def _taken(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
