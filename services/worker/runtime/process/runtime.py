"""Containers without an engine: subprocesses of this host, each in a session of its own.

A tiny shell supervises each one. It outlives the worker, writes the exit status, and ends what the main process left
behind in its session; so a restarted worker finds out how everything ended. What left the session is ended by its mark.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from libs.common.settings import Settings
from services.worker.permissions import open_own
from services.worker.runtime import CannotRun, Container, Exit, Progress
from services.worker.runtime.process import orphans, short_path
from services.worker.runtime.process.child_process import Child
from services.worker.runtime.process.environments import Environments
from services.worker.runtime.process.process_state import Record, read, signalled, status, text, write
from services.worker.runtime.spec import LOOPBACK, ContainerSpec

POLL_S = 0.1
"""How often a log or a process that is not our child is looked at."""
QUIET_POLL_S = 1.0
"""The same for a log that has been quiet for long:"""
QUIETER = 10.0
"""a tenth of the time for which nothing came."""
RECORD_S = 1.0
"""How often it is seen whether its process, which may have ended without a word, is there."""
PORT_POLL_S = 0.01
"""How often one that starts is looked at: somebody may be waiting for it."""
KILLED_WITHIN_S = 5.0
"""How long the kernel may take to end a killed group."""
CLOSE_GRACE_S = 3.0
CHUNK = 65536

SUPERVISOR = """
trap : TERM INT HUP
folder=$1
cd "$2" || exit
ulimit -S -m "$3" 2>/dev/null
shift 3
(exec "$@" >>"$folder/log" 2>&1 </dev/null)
echo $? >"$folder/exit.new"
mv "$folder/exit.new" "$folder/exit"
kill -KILL 0
"""


class ProcessRuntime:
    def __init__(self, settings: Settings, worker: str, installation: str, environments: Environments) -> None:
        self._settings = settings
        self._tasks = settings.scratch_folder / "tasks" / worker
        self._owner = {"mlmesh.worker": worker, "mlmesh.installation": installation}
        self._environments = environments
        self._folders: dict[str, Path] = {}
        self._children: dict[str, Child] = {}

    async def __aenter__(self) -> Self:
        """What tasks of a worker that was killed left behind is ended; those that run go on."""
        self._tasks.mkdir(parents=True, exist_ok=True)
        folders = [folder for folder in self._tasks.iterdir() if not ((record := read(folder)) and record.running())]
        await self._end_orphans(*folders)
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None

    async def ready(self) -> None:
        """Always."""

    async def reached(self) -> None:
        """Always: all are on this host."""

    async def prepare(self, spec: ContainerSpec, progress: Progress) -> str:
        if not spec.egress:
            raise CannotRun("error", "egress: none needs Docker: the process runtime isolates nothing")
        await self._environments.build(spec.source, progress)
        return spec.image

    async def start(self, spec: ContainerSpec) -> None:
        if self._find(spec.name):
            return
        if not spec.command:
            raise CannotRun("error", "the process runtime runs no image: give the stage an entryPoint")
        spec.folder.mkdir(parents=True, exist_ok=True)
        (spec.folder / "log").touch()
        work = await asyncio.to_thread(working_copy, spec)
        arguments = ["/bin/sh", "-c", SUPERVISOR, "mlmesh", str(spec.folder), str(work)]
        arguments += [str(self._mark(spec.folder)), *spec.command]
        try:
            child = Child(arguments, self._environment(spec, work))
        except OSError as error:
            raise CannotRun("error", f"cannot start a process: {error.strerror}") from error
        self._children[spec.name] = child
        self._folders[spec.name] = spec.folder
        write(spec, child.pid)

    async def wait(self, name: str) -> Exit:
        record = self._known(name)
        await self._ended(record)
        return status(record.folder)

    async def stop(self, name: str, grace_s: float) -> None:
        record = self._find(name)
        if record is None or not record.running():
            return
        signalled(record, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._ended(record)
                return
        signalled(record, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILLED_WITHIN_S):
                await self._ended(record)

    async def remove(self, name: str) -> None:
        folder = self._folders.get(name) or self._tasks / name
        if not (folder / "log").exists() and read(folder) is None:  # the log is there before a process is
            return
        await self.stop(name, 0.0)
        await self._end_orphans(folder)
        for part in ("container.json", "exit", "log", "port"):
            (folder / part).unlink(missing_ok=True)
        for part in ("home", "tmp"):
            shutil.rmtree(folder / part, ignore_errors=True)
        short_path.forget(folder / "tmp")
        self._children.pop(name, None)
        self._folders.pop(name, None)

    async def listed(self) -> list[Container]:
        folders = {path.parent for path in self._tasks.glob("*/container.json")} | set(self._folders.values())
        records = [record for folder in sorted(folders) if (record := read(folder))]
        ours = [record for record in records if self._owner.items() <= record.labels.items()]
        return [Container(record.name, record.labels, record.running()) for record in ours]

    async def address(self, name: str, port: int) -> tuple[str, int]:
        record = self._known(name)
        while record.running():
            if found := text(record.folder / "port"):
                return self._settings.worker_advertise or LOOPBACK, int(found)
            await asyncio.sleep(PORT_POLL_S)
        raise CannotRun("error", "it ended before it served")

    async def logs(self, name: str, offset: int) -> AsyncIterator[bytes]:
        record = self._known(name)
        with (record.folder / "log").open("rb") as file:
            file.seek(offset)
            clock = asyncio.get_running_loop().time
            last = seen = clock()
            while True:
                # before the file is read: what was written until then is read
                if child := self._children.get(name):
                    over = child.ended
                else:
                    over = (record.folder / "exit").exists()
                    if not over and clock() - seen >= RECORD_S:  # the record costs more than a look
                        over, seen = not record.running(), clock()
                while chunk := file.read(CHUNK):
                    last = clock()
                    yield chunk
                if over:
                    return
                await self._ended_within(name, min(QUIET_POLL_S, max(POLL_S, (clock() - last) / QUIETER)))

    async def _ended_within(self, name: str, seconds: float) -> None:
        """Returns after `seconds`, or as soon as a child of ours has ended."""
        child = self._children.get(name)
        if child is None:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await child.wait()

    async def reclaim(self, name: str, folder: Path) -> None:
        await asyncio.to_thread(open_own, folder / "outputs")  # all processes are this user's

    async def mesh_url(self, app: str, *, egress: bool = True) -> str:
        return self._settings.public_url

    async def gateway_url(self, app: str) -> str:
        return self._settings.public_url

    async def converge(self) -> None:
        return None

    async def close(self, *, leave: bool) -> None:
        if leave:
            return
        names = [container.name for container in await self.listed() if container.running]
        await asyncio.gather(*(self.stop(name, CLOSE_GRACE_S) for name in names))
        await self._end_orphans(*self._tasks.iterdir(), *self._folders.values())

    async def _end_orphans(self, *folders: Path) -> None:
        if folders:
            await orphans.end({self._mark(folder) for folder in folders})

    def _mark(self, folder: Path) -> int:
        return orphans.mark(self._owner["mlmesh.installation"], folder)

    def _environment(self, spec: ContainerSpec, work: Path) -> dict[str, str]:
        home, scratch = spec.folder / "home", spec.folder / "tmp"
        for folder in (home, scratch):
            folder.mkdir(exist_ok=True)
        bin_folder = self._environments.folder(spec.source) / "bin"
        given = {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "TMPDIR": str(short_path.short(scratch)),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # the working copy lives only once
            **spec.env,
        }
        path = [str(work), *([given["PYTHONPATH"]] if given.get("PYTHONPATH") else [])]
        return {**given, "PYTHONPATH": os.pathsep.join(path)}

    def _find(self, name: str) -> Record | None:
        return read(self._folders.get(name) or self._tasks / name)

    def _known(self, name: str) -> Record:
        record = self._find(name)
        if record is None:
            raise CannotRun("error", f"nothing is known of {name}")
        return record

    async def _ended(self, record: Record) -> None:
        child = self._children.get(record.name)
        if child is not None and child.pid == record.pid:
            await child.wait()
            return
        while record.running():  # noqa: ASYNC110  not our child: nobody tells us
            await asyncio.sleep(POLL_S)


def working_copy(spec: ContainerSpec) -> Path:
    """Where it runs: the checkout is shared, and what one task writes is not for another's eyes."""
    work = spec.folder / "work"
    if spec.source is None:
        work.mkdir(exist_ok=True)
    else:
        shutil.copytree(spec.source, work, symlinks=True, dirs_exist_ok=True)
    return work
