"""One server's operating-system process: start, stop, freeze."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.servers.leftovers import OWNER, identity
from tests.servers.places import LOOPBACK

START_DEADLINE_S = 90.0
STOP_DEADLINE_S = 20.0
POLL_S = 0.05
LOG_TAIL_BYTES = 2_000


class StartFailed(Exception):
    """The server did not come up; the message ends with the last lines of its log."""


class Runner(Protocol):
    """What runs a server: a process here, or a container."""

    @property
    def running(self) -> bool: ...
    def start(self, ready: Callable[[], bool]) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class Process:
    """A command that is kept running, with its log in a file of its folder."""

    name: str
    command: Sequence[str]
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    _child: "subprocess.Popen[bytes] | None" = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, ready: Callable[[], bool]) -> None:
        """Returns when `ready()` is true."""
        account = pwd.getpwnam(self.user) if self.user else None
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environ, OWNER: identity(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=[account.pw_gid] if account else None,
            )
        self._await(ready)

    def stop(self) -> None:
        """Asks politely, then kills."""
        if self._child is not None and self.running:
            self._child.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(STOP_DEADLINE_S)
        self.kill()

    def kill(self) -> None:
        if self._child is not None:
            self._signal_group(signal.SIGKILL)
            self._child.wait()
            self._child = None

    def close(self) -> None:
        """For good; what it kept goes with the run's folder."""
        self.resume()
        self.kill()

    def pause(self) -> None:
        """Frozen: connections stay open and nothing answers."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_group(signal.SIGCONT)

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def _await(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while not ready():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                tail = self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
                raise StartFailed(f"{self.name} did not come up:\n{tail}")
            time.sleep(POLL_S)

    def _signal_group(self, number: signal.Signals) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)


def answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False


def unprivileged(*preferred: str) -> str | None:
    """The user that a server gets which refuses to run as root; None when we are not root anyway."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in (*preferred, "nobody") if name in known)


def folder_of(user: str | None, parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir(parents=True, exist_ok=True)
    if user:
        shutil.chown(folder, user)
    return folder
