"""What is written down of a process, so that the next worker finds it again and learns how it ended."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.worker.runtime import Exit
from services.worker.runtime.spec import ContainerSpec


@dataclass(frozen=True)
class ProcessState:
    """What `container.json` remembers: enough to find the process again, and to tell it from a reused pid."""

    name: str
    labels: dict[str, str]
    pid: int
    started: str
    folder: Path

    def is_running(self) -> bool:
        return read_start_time(self.pid) == self.started


def read_start_time(pid: int) -> str | None:
    """When the process began, in the kernel's own count; None when it is over."""
    stat = read_text(Path(f"/proc/{pid}/stat"))
    if stat is None:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def read_exit(folder: Path) -> Exit:
    """A status above 128 is the shell's way to tell a signal; none at all means that the group was killed."""
    text = read_text(folder / "exit")
    if not text:
        return Exit(None, signal.SIGKILL)
    code = int(text)
    return Exit(None, code - 128) if 128 < code <= 128 + signal.NSIG else Exit(code)


def send_signal(state: ProcessState, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(state.pid, number)


def save_state(spec: ContainerSpec, pid: int) -> None:
    # A process that is over already has no start time: none is running under it then.
    state = {
        "name": spec.name,
        "labels": dict(spec.labels),
        "pid": pid,
        "started": read_start_time(pid) or time.time_ns(),
    }
    new_file = spec.folder / "container.json.new"
    new_file.write_text(json.dumps(state))
    new_file.rename(spec.folder / "container.json")


def load_state(folder: Path) -> ProcessState | None:
    """None, too, when the host went down before all of it was on the disk: with it went the process."""
    try:
        document: dict[str, Any] = json.loads(read_text(folder / "container.json") or "{}")
        return ProcessState(document["name"], document["labels"], document["pid"], str(document["started"]), folder)
    except (ValueError, KeyError):
        return None


def read_text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
