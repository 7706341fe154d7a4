"""Fork safety: a process that the function forks drops the component's signal handlers and sockets."""

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
    """Reset every child that this process forks from now on. `port` returns the listening port, or 0.

    Signals are blocked during the fork: one that reached the child too early would wake the parent's event loop.
    """

    def reset_child() -> None:
        signals.restore_handlers()
        release_sockets(port())
        signals.unblock_signals()

    os.register_at_fork(
        before=signals.block_signals, after_in_parent=signals.unblock_signals, after_in_child=reset_child
    )


def exit_forked_children(target: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a plain function: a child process that it forks exits when it returns or raises, as a script does.

    Otherwise the child would clean up after the call and serve further ones, while its parent waits for its exit.
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
    """Exit now, with the output and the exit code of an interpreter that `error` (if any) terminated."""
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
    """The handlers of some signals at the time of construction, to restore them in forked children."""

    def __init__(self, *numbers: int) -> None:
        self._original: dict[int, Handler] = {number: signal.getsignal(number) for number in numbers}
        self._installed: dict[int, Handler] = {}
        self._thread_state = threading.local()

    def record_installed(self) -> None:
        """Record the current handlers as those that the component has installed."""
        self._installed = {number: signal.getsignal(number) for number in self._original}

    def block_signals(self) -> None:
        """Block the signals in this thread until `unblock_signals`."""
        self._thread_state.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._original)

    def unblock_signals(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._thread_state.mask)

    def restore_handlers(self) -> None:
        """Restore each handler that is still the component's, and detach signals from its event loop."""
        numbers = [number for number, handler in self._installed.items() if signal.getsignal(number) == handler]
        if numbers:
            signal.set_wakeup_fd(-1)
        for number in numbers:
            handler = self._original[number]
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def release_sockets(port: int) -> None:
    """Close the sockets of this process on `port`: the listening one and its connections.

    Their descriptors then refer to the null device: an object that closes one later cannot close an unrelated file.
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
