"""Virtual environments of repositories, made once per content of their requirements and kept."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import platform
import shutil
import sys
import tomllib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.worker.runtime import CannotRun, Progress

LOCK_POLL_S = 0.2
LISTS = ("-r", "--requirement", "-c", "--constraint")
EDITABLE = ("-e", "--editable")
KEPT_LINES = 10
"""Last lines of pip that a failure tells."""


class Environments:
    """A finished environment holds the file `.complete`; it is built in place, as its scripts name that place."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, source: Path | None) -> Path:
        return self._root / key(requirements(source), source)

    async def build(self, source: Path | None, progress: Progress) -> None:
        """Raises CannotRun("source") with pip's last lines."""
        wanted = requirements(source)
        folder = self._root / key(wanted, source)
        complete = folder / ".complete"
        if complete.exists():
            return
        self._root.mkdir(parents=True, exist_ok=True)
        async with locked(folder.with_suffix(".lock")):
            if complete.exists():
                return
            shutil.rmtree(folder, ignore_errors=True)
            await self._make(folder, wanted, source, progress)
            complete.touch()

    async def _make(self, folder: Path, wanted: str | None, source: Path | None, progress: Progress) -> None:
        progress("making the virtual environment")
        seed = ["--without-pip"] if wanted is None else []
        await run([sys.executable, "-m", "virtualenv", "--quiet", *seed, str(folder)], None, progress)
        if wanted is None:
            return
        listed = folder / "requirements.txt"
        listed.write_text(wanted)
        named = source / "requirements.txt" if source and (source / "requirements.txt").is_file() else listed
        await run(
            [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "-r", str(named)],
            source,
            progress,
        )


def requirements(source: Path | None) -> str | None:
    """What the repository asks for, as lines of a requirements file; None when it asks for nothing."""
    if source is None:
        return None
    if (listed := source / "requirements.txt").is_file():
        return listed.read_text(errors="replace")
    if not (project := source / "pyproject.toml").is_file():
        return None
    try:
        found = tomllib.loads(project.read_text()).get("project", {}).get("dependencies", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CannotRun("source", f"pyproject.toml cannot be read: {error}") from error
    return "\n".join(map(str, found)) + "\n" if found else None


def key(wanted: str | None, source: Path | None) -> str:
    """The same for the same requirements; a repository that installs a part of itself has one for each commit."""
    version = f"{platform.python_implementation()} {platform.python_version()} {sys.prefix}"
    content = "" if wanted is None else "r" + wanted + _included(wanted, source)
    return hashlib.sha256(f"{version}\n{content}".encode()).hexdigest()[:24]


def _included(wanted: str, source: Path | None, seen: frozenset[str] = frozenset()) -> str:
    """What the requirements name of the repository: the text of other lists, the place of everything else."""
    found = []
    for line in wanted.splitlines():
        option, _, name = line.strip().replace("=", " ", int(line.lstrip().startswith("--"))).partition(" ")
        name = name.strip()
        if option in LISTS and source and (source / name).is_file() and name not in seen:
            text = (source / name).read_text(errors="replace")
            found += [text, _included(text, source, seen | {name})]
        elif option in EDITABLE or option.startswith((".", "/", "file:")):
            found.append(str(source))
    return "\n".join(found)


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
