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
class Record:
    """What `container.json` remembers: enough to find the process again, and to tell it from a reused pid."""

    name: str
    labels: dict[str, str]
    pid: int
    started: str
    folder: Path

    def running(self) -> bool:
        return started(self.pid) == self.started


def started(pid: int) -> str | None:
    """When the process began, in the kernel's own count; None when it is over."""
    stat = text(Path(f"/proc/{pid}/stat"))
    if stat is None:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def status(folder: Path) -> Exit:
    """A status above 128 is the shell's way to tell a signal; none at all means that the group was killed."""
    found = text(folder / "exit")
    if not found:
        return Exit(None, signal.SIGKILL)
    code = int(found)
    return Exit(None, code - 128) if 128 < code <= 128 + signal.NSIG else Exit(code)


def signalled(record: Record, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(record.pid, number)


def write(spec: ContainerSpec, pid: int) -> None:
    # A process that is over already has no start time: none is running under it then.
    document = {"name": spec.name, "labels": dict(spec.labels), "pid": pid, "started": started(pid) or time.time_ns()}
    aside = spec.folder / "container.json.new"
    aside.write_text(json.dumps(document))
    aside.rename(spec.folder / "container.json")


def read(folder: Path) -> Record | None:
    """None, too, when the host went down before all of it was on the disk: with it went the process."""
    try:
        document: dict[str, Any] = json.loads(text(folder / "container.json") or "{}")
        return Record(document["name"], document["labels"], document["pid"], str(document["started"]), folder)
    except (ValueError, KeyError):
        return None


def text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
