"""State file of a process, by which the next worker finds it and learns its exit status."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.worker.runtime import Exit
from services.worker.runtime.spec import ContainerSpec


@dataclass(frozen=True)
class ProcessState:
    """The content of `container.json`: identifies the process, even if its pid is reused."""

    name: str
    labels: dict[str, str]
    pid: int
    started: str
    folder: Path

    def is_running(self) -> bool:
        return read_start_time(self.pid) == self.started


def read_start_time(pid: int) -> str | None:
    """Start time of a process in kernel ticks; None if it has ended."""
    stat = read_text(Path(f"/proc/{pid}/stat"))
    if stat is None:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def read_exit(folder: Path) -> Exit:
    """Read the exit status; above 128 it encodes a signal; a missing one means that the group was killed."""
    text = read_text(folder / "exit")
    if not text:
        return Exit(None, signal.SIGKILL)
    code = int(text)
    return Exit(None, code - 128) if 128 < code <= 128 + signal.NSIG else Exit(code)


def send_signal(state: ProcessState, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(state.pid, number)


def save_state(spec: ContainerSpec, pid: int) -> None:
    # An ended process has no start time; the current time matches no process.
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
    """Read the state; None if it is missing or truncated (the host went down, and the process with it)."""
    try:
        document = json.loads(read_text(folder / "container.json") or "{}")
        return ProcessState(document["name"], document["labels"], document["pid"], str(document["started"]), folder)
    except (ValueError, KeyError):
        return None


def read_text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
