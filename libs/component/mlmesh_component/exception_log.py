"""Exceptions of the developer's code: logged under an error id and reported to callers.

The exception class is the developer's, too: its text may raise, be of any size, or not be encodable.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import uuid
from contextlib import suppress

from .function.context import Context
from .hidden_values import hide_values
from .problems import FunctionRaised

MAX_TEXT = 2000
"""Characters of an exception's text in a response."""
MAX_TRACEBACK = 100_000
"""Characters of a traceback in the log."""


_RUNTIME_FILES = (os.path.dirname(__file__) + os.sep, importlib.__file__, "<frozen importlib")
"""Prefixes of file names whose frames are cut off from the top of a traceback."""


_FOREIGN_FOLDERS = {"site-packages", "dist-packages", "lib", "lib64", "mlmesh_component"}
"""Of libraries, which may be below the developer's folder."""


class LoggedException:
    """An exception that has been logged; it becomes the problem of each call that it ended."""

    def __init__(self, error: BaseException, context: Context) -> None:
        self._text = describe_exception(error)
        self._error_id = log_exception(error, context.request_id)

    def build_members(self, context: Context) -> dict[str, str]:
        """The members of a problem document. Only owners of the app see the exception's text."""
        return {"error_id": self._error_id, **({"error": self._text} if context.is_owner_call else {})}

    def to_problem(self, context: Context) -> FunctionRaised:
        return FunctionRaised(**self.build_members(context))


def log_exception(error: BaseException, request_id: str) -> str:
    """Write the traceback without the runtime's own frames to stderr, and return its new error id."""
    error_id = uuid.uuid4().hex
    with suppress(OSError, ValueError):  # stderr is closed
        sys.stderr.write(f"mlmesh: error {error_id} (request {request_id})\n{_format_traceback(error)}")
        sys.stderr.flush()
    return error_id


def describe_exception(error: BaseException) -> str:
    """Type and message, as in the last line of a traceback. Values of Secrets are hidden: it is shown to owners."""
    name, text = _qualified_name(type(error)), _exception_text(error)
    return f"{name}: {text}" if text else name


def locate_exception(error: BaseException, folder: str) -> str:
    """`service.py:3: ` of the innermost line of the developer's own code, which is in `folder`; else empty."""
    if isinstance(error, SyntaxError) and error.filename:
        places = [(error.filename, error.lineno or 1)]
    else:
        frames = reversed(list(traceback.walk_tb(error.__traceback__)))
        places = [(frame.f_code.co_filename, line) for frame, line in frames]
    for file, line in places:
        path = os.path.relpath(file, folder)
        if not path.startswith(os.pardir) and not _FOREIGN_FOLDERS & set(path.split(os.sep)) and os.path.isfile(file):
            return f"{path}:{line}: "
    return ""


def print_traceback(error: BaseException) -> None:
    """Print the traceback to stderr, starting at the developer's own code."""
    sys.stderr.write(_format_traceback(error))


def _format_traceback(error: BaseException) -> str:
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_RUNTIME_FILES):
        tb = tb.tb_next
    if tb is None and not isinstance(error, SyntaxError):  # its message has the position
        tb = error.__traceback__
    try:
        lines = traceback.format_exception(type(error), error, tb)
    except Exception:  # noqa: BLE001 - the texts of chained exceptions are the developer's code
        return describe_exception(error) + "\n"
    return _make_printable("".join(lines), MAX_TRACEBACK).rstrip("\n") + "\n"


def _qualified_name(exception_class: type) -> str:
    module = exception_class.__module__
    return (
        exception_class.__qualname__
        if module in ("builtins", "__main__")
        else f"{module}.{exception_class.__qualname__}"
    )


def _exception_text(error: BaseException) -> str:
    try:
        return _make_printable(hide_values(str(error)), MAX_TEXT)
    except BaseException as fault:  # noqa: BLE001 - `__str__` is the developer's code
        return f"(text not available: {_qualified_name(type(fault))})"


def _make_printable(text: str, limit: int) -> str:
    """Escape what UTF-8 cannot encode, and keep beginning and end if it exceeds `limit` characters."""
    if len(text) > limit:
        text = f"{text[: limit // 2]} … {text[-limit // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
