"""Cache of virtual environments: repositories with the same requirements share one."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from libs.common.python_packages import (
    PARSED_FILES,
    RELEVANT_PATTERNS,
    REQUIREMENTS_FILE,
    InvalidProject,
    Requirements,
    find_requirements,
)
from libs.common.requirement_lists import LocalRequirement, expand_lists
from services.worker.file_lock import hold_file_lock
from services.worker.runtime import Progress, RuntimeFailure
from services.worker.runtime.process.installer import DEFAULT_TIMEOUTS, InstallTimeouts, run_installer

PIP_INSTALL = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "raw")
COMPLETE_FILE = ".complete"


class VirtualEnvironments:
    """An environment is built in place, as its scripts contain its path; COMPLETE_FILE marks a finished one."""

    def __init__(self, root: Path, timeouts: InstallTimeouts = DEFAULT_TIMEOUTS) -> None:
        self._root = root
        self._timeouts = timeouts

    def environment_folder(self, source: Path | None) -> Path:
        return self._root / environment_key(read_requirements(source), source)

    async def build(self, source: Path | None, progress: Progress) -> None:
        """Build the environment if necessary. Raises RuntimeFailure("source") with pip's last lines."""
        requirements = read_requirements(source)
        folder = self._root / environment_key(requirements, source)
        if is_complete(folder):
            return
        self._root.mkdir(parents=True, exist_ok=True)
        async with hold_file_lock(folder.with_suffix(".lock")):
            if is_complete(folder):
                return
            shutil.rmtree(folder, ignore_errors=True)
            await self._create(folder, requirements, source, progress)
            (folder / COMPLETE_FILE).touch()

    async def _create(self, folder: Path, requirements: Requirements, source: Path | None, progress: Progress) -> None:
        progress("creating the virtual environment")
        seed = ["--without-pip"] if requirements == Requirements() else []
        await run_installer(
            [sys.executable, "-m", "virtualenv", "--quiet", *seed, str(folder)], None, progress, self._timeouts
        )
        if source is None or requirements == Requirements():
            return
        pip = [str(folder / "bin" / "python"), *PIP_INSTALL]
        if requirements.installs_repository:
            await self._install_project([*pip, "."], source, progress)
            return
        generated = folder / REQUIREMENTS_FILE
        generated.write_text(requirements.text or "")
        requirements_file = source / REQUIREMENTS_FILE if (source / REQUIREMENTS_FILE).is_file() else generated
        await run_installer([*pip, "-r", str(requirements_file)], source, progress, self._timeouts)

    async def _install_project(self, command: list[str], source: Path, progress: Progress) -> None:
        """Install from a copy: builds write into their source folder, and the checkout is shared."""
        with tempfile.TemporaryDirectory(prefix="build-", dir=self._root) as folder:
            tree = await asyncio.to_thread(shutil.copytree, source, Path(folder) / "tree", symlinks=True)
            await run_installer(command, tree, progress, self._timeouts)


def is_complete(folder: Path) -> bool:
    """Whether it is finished and its interpreter, a link, still exists: Python may have been removed from the host."""
    return (folder / COMPLETE_FILE).exists() and (folder / "bin" / "python").exists()


def read_requirements(source: Path | None) -> Requirements:
    """Read the requirements of a repository. Raises RuntimeFailure("source")."""
    if source is None:
        return Requirements()
    paths = (path for pattern in RELEVANT_PATTERNS for path in source.glob(pattern) if path.is_file())
    files = {
        path.relative_to(source).as_posix(): path.read_bytes() if path.name in PARSED_FILES else b"" for path in paths
    }
    try:
        return find_requirements(files)
    except InvalidProject as error:
        raise RuntimeFailure("source", str(error)) from error


def environment_key(requirements: Requirements, source: Path | None) -> str:
    """Equal requirements have equal keys; a repository that installs a part of itself has one key per commit."""
    version = f"{platform.python_implementation()} {platform.python_version()} {sys.prefix}"
    content = "" if requirements == Requirements() or source is None else _requirements_key(requirements, source)
    return hashlib.sha256(f"{version}\n{content}".encode()).hexdigest()[:24]


def _requirements_key(requirements: Requirements, source: Path) -> str:
    try:
        return f"c{source}" if requirements.text is None else f"r{expand_lists(requirements.text, source)}"
    except LocalRequirement:
        return f"c{source}\n{requirements.text}"
