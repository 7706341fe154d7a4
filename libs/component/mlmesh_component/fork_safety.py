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


def install_fork_handlers(signals: SignalHandlers, port: Callable[[], int]) -> None:
    """From now on, in every process that this one forks; `port` tells where this one listens, 0 for nowhere.

    Signals wait meanwhile: one that reached the child too early would be told to this process's loop.
    """

    def reset_child() -> None:
        signals.restore_handlers()
        release_sockets(port())
        signals.unblock_signals()

    os.register_at_fork(
        before=signals.block_signals, after_in_parent=signals.unblock_signals, after_in_child=reset_child
    )


def exit_forked_children(target: Callable[..., Any]) -> Callable[..., Any]:
    """The same plain function; a process that it forks, and lets come back from it, ends there as a script would.

    It would otherwise clean up after the call, and wait for further ones, while `target` waits for its end.
    """

    parent_pid = os.getpid()

    @functools.wraps(target)
    def call_target(*arguments: Any, **keywords: Any) -> Any:
        try:
            result = target(*arguments, **keywords)
        except BaseException as error:
            if os.getpid() != parent_pid:
                _exit_child(error)
            raise
        if os.getpid() != parent_pid:
            _exit_child(None)
        return result

    return call_target


def _exit_child(error: BaseException | None) -> None:
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


class SignalHandlers:
    """The handlers of some signals as they were when this was made."""

    def __init__(self, *numbers: int) -> None:
        self._original: dict[int, Handler] = {number: signal.getsignal(number) for number in numbers}
        self._installed: dict[int, Handler] = {}
        self._thread_state = threading.local()

    def record_installed(self) -> None:
        """By now they are the component's own."""
        self._installed = {number: signal.getsignal(number) for number in self._original}

    def block_signals(self) -> None:
        """In this thread, until `unblock`."""
        self._thread_state.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._original)

    def unblock_signals(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._thread_state.mask)

    def restore_handlers(self) -> None:
        """What is still the component's own is as it was before; no signal wakes the component's loop any more."""
        numbers = [number for number, handler in self._installed.items() if signal.getsignal(number) == handler]
        if numbers:
            signal.set_wakeup_fd(-1)
        for number in numbers:
            handler = self._original[number]
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def release_sockets(port: int) -> None:
    """Let go of the sockets of this process at `port`: the listening one, and connections to it.

    Their numbers stay taken, by the null device: whatever object closes one later closes nothing else by it.
    """
    if not port:
        return
    null_device = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for number in _list_open_files():
            if _is_socket_on_port(port, number):
                os.dup2(null_device, number, inheritable=False)
    finally:
        os.close(null_device)


def _list_open_files() -> list[int]:
    for folder in OPEN_FILES:
        with suppress(OSError):
            return [int(name) for name in os.listdir(folder)]
    return []


def _is_socket_on_port(port: int, number: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        sock = socket.socket(fileno=number)
    except OSError:
        return False
    try:
        address = sock.getsockname()
        return sock.type == socket.SOCK_STREAM and isinstance(address, tuple) and address[1] == port
    except OSError:
        return False
    finally:
        sock.detach()
