"""The runtime without an engine: subprocesses of this host, each in its own session.

A small shell supervises each one. It outlives the worker, writes the exit status and kills what the main process left
in its session, so that a restarted worker learns how everything ended. Escaped processes are found by tag.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from libs.common.settings import Settings
from services.worker.permissions import grant_owner_access
from services.worker.runtime import Container, Exit, Progress, RuntimeFailure
from services.worker.runtime.image_build import BuiltImage, ImageBuild, Output
from services.worker.runtime.process import orphans, short_path
from services.worker.runtime.process.child_process import ChildProcess
from services.worker.runtime.process.environments import VirtualEnvironments
from services.worker.runtime.process.log_watcher import LogWatcher
from services.worker.runtime.process.process_state import (
    ProcessState,
    load_state,
    read_exit,
    read_text,
    save_state,
    send_signal,
)
from services.worker.runtime.spec import LOOPBACK, ContainerSpec

POLL_S = 0.1
"""How often a process is checked that an earlier worker started."""
STATE_POLL_S = 1.0
"""The same while its log is followed, as long as it has not written its exit status."""
PORT_POLL_S = 0.01
"""How often the port of a starting component is polled: requests may wait for it."""
KILL_TIMEOUT_S = 5.0
"""How long a killed process group may take to end."""
CLOSE_GRACE_S = 3.0
CHUNK = 65536

SUPERVISOR_SCRIPT = """
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
    def __init__(self, settings: Settings, worker: str, installation: str, environments: VirtualEnvironments) -> None:
        self._settings = settings
        self._tasks = settings.scratch_folder / "tasks" / worker
        self._owner = {"mlmesh.worker": worker, "mlmesh.installation": installation}
        self._environments = environments
        self._folders: dict[str, Path] = {}
        self._children: dict[str, ChildProcess] = {}
        self._log_watcher = LogWatcher()

    async def __aenter__(self) -> Self:
        """Kill orphans of tasks that ended while no worker ran; running tasks continue."""
        self._tasks.mkdir(parents=True, exist_ok=True)
        folders = [
            folder for folder in self._tasks.iterdir() if not ((state := load_state(folder)) and state.is_running())
        ]
        await self._kill_orphans(*folders)
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None

    async def check_ready(self) -> None:
        """Always."""

    async def check_gateway(self) -> None:
        """Always reachable: all processes are on this host."""

    async def prepare(self, spec: ContainerSpec, progress: Progress) -> str:
        if not spec.egress:
            raise RuntimeFailure("error", "egress: none needs Docker: the process runtime isolates nothing")
        await self._environments.build(spec.source, progress)
        return spec.image or ""

    async def resolve_image(self, image: str, progress: Progress, login: Mapping[str, str] | None) -> str:
        raise RuntimeFailure("image", "the process runtime has no images")

    engine = ""
    has_buildkit = False

    async def build_image(self, name: str, build: ImageBuild, output: Output) -> str:
        raise RuntimeFailure("build", "the process runtime builds no images")

    async def list_built_images(self) -> list[BuiltImage]:
        return []

    async def remove_image(self, image: str) -> None:
        """There are none."""

    async def is_disk_full(self) -> bool:
        return False

    async def prune_build_cache(self) -> None:
        """There is none."""

    async def start(self, spec: ContainerSpec) -> None:
        if self._find_state(spec.name):
            return
        if not spec.command:
            raise RuntimeFailure("error", "the process runtime runs no image: give the stage an entryPoint")
        spec.folder.mkdir(parents=True, exist_ok=True)
        (spec.folder / "log").touch()
        work = await asyncio.to_thread(copy_source, spec)
        arguments = ["/bin/sh", "-c", SUPERVISOR_SCRIPT, "mlmesh", str(spec.folder), str(work)]
        arguments += [str(self._process_tag(spec.folder)), *spec.command]
        try:
            child = ChildProcess(arguments, self._build_environment(spec, work))
        except OSError as error:
            raise RuntimeFailure("error", f"cannot start a process: {error.strerror}") from error
        self._children[spec.name] = child
        self._folders[spec.name] = spec.folder
        save_state(spec, child.pid)

    async def wait(self, name: str) -> Exit:
        state = self._require_state(name)
        await self._wait_until_ended(state)
        return read_exit(state.folder)

    async def stop(self, name: str, grace_s: float) -> None:
        state = self._find_state(name)
        if state is None or not state.is_running():
            return
        send_signal(state, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._wait_until_ended(state)
                return
        send_signal(state, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_TIMEOUT_S):
                await self._wait_until_ended(state)

    async def remove(self, name: str) -> None:
        folder = self._folders.get(name) or self._tasks / name
        if not (folder / "log").exists() and load_state(folder) is None:  # the log is created before the process
            return
        await self.stop(name, 0.0)
        await self._kill_orphans(folder)
        for part in ("container.json", "exit", "log", "port"):
            (folder / part).unlink(missing_ok=True)
        for part in ("home", "tmp"):
            shutil.rmtree(folder / part, ignore_errors=True)
        short_path.remove_short_path(folder / "tmp")
        self._children.pop(name, None)
        self._folders.pop(name, None)

    async def list_containers(self) -> list[Container]:
        folders = {path.parent for path in self._tasks.glob("*/container.json")} | set(self._folders.values())
        states = [state for folder in sorted(folders) if (state := load_state(folder))]
        selected = [state for state in states if self._owner.items() <= state.labels.items()]
        return [Container(state.name, state.labels, state.is_running()) for state in selected]

    async def get_address(self, name: str, port: int) -> tuple[str, int]:
        state = self._require_state(name)
        while state.is_running():
            if port_text := read_text(state.folder / "port"):
                return self._settings.worker_advertise or LOOPBACK, int(port_text)
            await asyncio.sleep(PORT_POLL_S)
        raise RuntimeFailure("error", "it exited before it was ready")

    async def follow_log(self, name: str, offset: int) -> AsyncIterator[bytes]:
        state, child = self._require_state(name), self._children.get(name)
        has_ended = _make_end_check(state, child)
        clock = asyncio.get_running_loop().time
        with (state.folder / "log").open("rb") as file:
            file.seek(offset)
            last_read = clock()
            while True:
                ended = has_ended()  # before the file is read: what was written until then is read
                while chunk := file.read(CHUNK):
                    last_read = clock()
                    yield chunk
                if ended:
                    return
                await self._log_watcher.wait_for_change(file, last_read, has_ended, child)

    async def take_ownership(self, name: str, folder: Path) -> None:
        await asyncio.to_thread(grant_owner_access, folder / "outputs")  # all processes run as this user

    async def mesh_url(self, app: str, *, egress: bool = True) -> str:
        return self._settings.public_url

    async def gateway_url(self, app: str) -> str:
        return self._settings.public_url

    async def reconcile(self) -> None:
        return None

    async def close(self, *, detach: bool) -> None:
        if detach:
            return
        names = [container.name for container in await self.list_containers() if container.running]
        await asyncio.gather(*(self.stop(name, CLOSE_GRACE_S) for name in names))
        await self._kill_orphans(*self._tasks.iterdir(), *self._folders.values())

    async def _kill_orphans(self, *folders: Path) -> None:
        if folders:
            await orphans.kill_tagged({self._process_tag(folder) for folder in folders})

    def _process_tag(self, folder: Path) -> int:
        return orphans.process_tag(self._owner["mlmesh.installation"], folder)

    def _build_environment(self, spec: ContainerSpec, work: Path) -> dict[str, str]:
        home, scratch = spec.folder / "home", spec.folder / "tmp"
        for folder in (home, scratch):
            folder.mkdir(exist_ok=True)
        bin_folder = self._environments.environment_folder(spec.source) / "bin"
        env = {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "TMPDIR": str(short_path.shorten_path(scratch)),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # the working copy is used once
            **spec.env,
        }
        path = [str(work), *([env["PYTHONPATH"]] if env.get("PYTHONPATH") else [])]
        return {**env, "PYTHONPATH": os.pathsep.join(path)}

    def _find_state(self, name: str) -> ProcessState | None:
        return load_state(self._folders.get(name) or self._tasks / name)

    def _require_state(self, name: str) -> ProcessState:
        state = self._find_state(name)
        if state is None:
            raise RuntimeFailure("error", f"unknown container {name}")
        return state

    async def _wait_until_ended(self, state: ProcessState) -> None:
        child = self._children.get(state.name)
        if child is not None and child.pid == state.pid:
            await child.wait()
            return
        while state.is_running():  # noqa: ASYNC110  not a child: there is no event to wait for
            await asyncio.sleep(POLL_S)


def copy_source(spec: ContainerSpec) -> Path:
    """Create the task's working folder: a copy, because the checkout is shared between tasks."""
    work = spec.folder / "work"
    if spec.source is None:
        work.mkdir(exist_ok=True)
    else:
        shutil.copytree(spec.source, work, symlinks=True, dirs_exist_ok=True)
    return work


def _make_end_check(state: ProcessState, child: ChildProcess | None) -> Callable[[], bool]:
    """Whether the process has ended; one that an earlier worker started has an exit status, or is no longer there."""
    last_check = time.monotonic()

    def has_ended() -> bool:
        nonlocal last_check
        if child is not None:
            return child.has_ended
        if (state.folder / "exit").exists():
            return True
        if time.monotonic() - last_check < STATE_POLL_S:
            return False
        last_check = time.monotonic()
        return not state.is_running()

    return has_ended
