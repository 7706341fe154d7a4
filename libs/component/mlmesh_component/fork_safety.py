"""A process that the function forks is no second component: it lets go of what belongs to this one."""

from __future__ import annotations

import functools
import os
import signal
import socket
import stat
import sys
import threading
import traceback
from contextlib import suppress
from types import FrameType
from typing import Any, Callable, Union

Handler = Union[Callable[[int, Union[FrameType, None]], Any], int, None]

OPEN_FILES = ("/proc/self/fd", "/dev/fd")


def let_go(signals: Signals, port: Callable[[], int]) -> None:
    """From now on, in every process that this one forks; `port` tells where this one listens, 0 for nowhere.

    Signals wait meanwhile: one that reached the child too early would be told to this process's loop.
    """

    def in_child() -> None:
        signals.restore()
        leave_sockets(port())
        signals.unblock()

    os.register_at_fork(before=signals.block, after_in_parent=signals.unblock, after_in_child=in_child)


def ending_children(target: Callable[..., Any]) -> Callable[..., Any]:
    """The same plain function; a process that it forks, and lets come back from it, ends there as a script would.

    It would otherwise clean up after the call, and wait for further ones, while `target` waits for its end.
    """

    own = os.getpid()

    @functools.wraps(target)
    def called(*arguments: Any, **named: Any) -> Any:
        try:
            result = target(*arguments, **named)
        except BaseException as error:
            if os.getpid() != own:
                _end(error)
            raise
        if os.getpid() != own:
            _end(None)
        return result

    return called


def _end(error: BaseException | None) -> None:
    """This process, now: as the interpreter ends one that `error` has left, if there is one."""
    code = 0 if error is None else 1
    with suppress(BaseException):
        if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
            code = error.code or 0
        elif isinstance(error, SystemExit):
            sys.stderr.write(f"{error.code}\n")
        elif error is not None:
            traceback.print_exception(type(error), error, error.__traceback__)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code & 0xFF)


class Signals:
    """The handlers of some signals as they were when this was made."""

    def __init__(self, *numbers: int) -> None:
        self._before: dict[int, Handler] = {number: signal.getsignal(number) for number in numbers}
        self._ours: dict[int, Handler] = {}
        self._of_thread = threading.local()

    def replaced(self) -> None:
        """By now they are the component's own."""
        self._ours = {number: signal.getsignal(number) for number in self._before}

    def block(self) -> None:
        """In this thread, until `unblock`."""
        self._of_thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._before)

    def unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._of_thread.mask)

    def restore(self) -> None:
        """What is still the component's own is as it was before; no signal wakes the component's loop any more."""
        ours = [number for number, handler in self._ours.items() if signal.getsignal(number) == handler]
        if ours:
            signal.set_wakeup_fd(-1)
        for number in ours:
            before = self._before[number]
            signal.signal(number, signal.SIG_DFL if before is None else before)


def leave_sockets(port: int) -> None:
    """Let go of the sockets of this process at `port`: the listening one, and connections to it.

    Their numbers stay taken, by the null device: whatever object closes one later closes nothing else by it.
    """
    if not port:
        return
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for number in _open_files():
            if _is_socket_at(port, number):
                os.dup2(nothing, number, inheritable=False)
    finally:
        os.close(nothing)


def _open_files() -> list[int]:
    for folder in OPEN_FILES:
        with suppress(OSError):
            return [int(name) for name in os.listdir(folder)]
    return []


def _is_socket_at(port: int, number: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        found = socket.socket(fileno=number)
    except OSError:
        return False
    try:
        address = found.getsockname()
        return found.type == socket.SOCK_STREAM and isinstance(address, tuple) and address[1] == port
    except OSError:
        return False
    finally:
        found.detach()
