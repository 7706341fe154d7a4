"""Virtual environments of repositories, made once for all that ask for the same packages and kept."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from libs.common.python_packages import LIST, LISTED, READ, Packages, Unfit, packages
from services.worker.file_lock import locked
from services.worker.runtime import CannotRun, Progress
from services.worker.runtime.process.installer import PATIENCE, Patience, run
from services.worker.runtime.process.requirements import Local, lists_of

PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "raw")
COMPLETE = ".complete"


class Environments:
    """A finished environment holds the file COMPLETE; it is built in place, as its scripts name that place."""

    def __init__(self, root: Path, patience: Patience = PATIENCE) -> None:
        self._root = root
        self._patience = patience

    def folder(self, source: Path | None) -> Path:
        return self._root / key(wanted(source), source)

    async def build(self, source: Path | None, progress: Progress) -> None:
        """Raises CannotRun("source") with pip's last lines."""
        found = wanted(source)
        folder = self._root / key(found, source)
        if is_whole(folder):
            return
        self._root.mkdir(parents=True, exist_ok=True)
        async with locked(folder.with_suffix(".lock")):
            if is_whole(folder):
                return
            shutil.rmtree(folder, ignore_errors=True)
            await self._make(folder, found, source, progress)
            (folder / COMPLETE).touch()

    async def _make(self, folder: Path, found: Packages, source: Path | None, progress: Progress) -> None:
        progress("making the virtual environment")
        seed = ["--without-pip"] if found == Packages() else []
        await run([sys.executable, "-m", "virtualenv", "--quiet", *seed, str(folder)], None, progress, self._patience)
        if source is None or found == Packages():
            return
        pip = [str(folder / "bin" / "python"), *PIP]
        if found.whole:
            await self._install_whole([*pip, "."], source, progress)
            return
        listed = folder / LIST
        listed.write_text(found.lines or "")
        named = source / LIST if (source / LIST).is_file() else listed
        await run([*pip, "-r", str(named)], source, progress, self._patience)

    async def _install_whole(self, command: list[str], source: Path, progress: Progress) -> None:
        """From a copy: a build writes beside what it reads, and the checkout is shared."""
        with tempfile.TemporaryDirectory(prefix="build-", dir=self._root) as folder:
            tree = await asyncio.to_thread(shutil.copytree, source, Path(folder) / "tree", symlinks=True)
            await run(command, tree, progress, self._patience)


def is_whole(folder: Path) -> bool:
    """Its interpreter is a link: Python may have been removed from the host, or put elsewhere."""
    return (folder / COMPLETE).exists() and (folder / "bin" / "python").exists()


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
