"""What the developer's code raised: logged under an error id, and told to callers.

The exception is theirs as well: its text may not be there, be of any size, or have no UTF-8.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import uuid
from contextlib import suppress

from .function.context import Context
from .problems import FunctionRaised

MAX_TEXT = 2000
"""Characters of an exception's text in an answer."""
MAX_TRACEBACK = 100_000
"""Characters of it in the log."""


_RUNTIME_FILES = (os.path.dirname(__file__) + os.sep, importlib.__file__, "<frozen importlib")
"""How the names of files begin that lead to the developer's code."""


class LoggedException:
    """An exception, logged; every call that it ended is told of it."""

    def __init__(self, error: BaseException, context: Context) -> None:
        self._text = describe_exception(error)
        self._error_id = log_exception(error, context.request_id)

    def build_members(self, context: Context) -> dict[str, str]:
        """What a problem says of it. The exception's own words are for the app's owners."""
        return {"error_id": self._error_id, **({"error": self._text} if context.is_owner_call else {})}

    def to_problem(self, context: Context) -> FunctionRaised:
        return FunctionRaised(**self.build_members(context))


def log_exception(error: BaseException, request_id: str) -> str:
    """The traceback goes to stderr, without the steps that are ours, under the error id that is returned."""
    error_id = uuid.uuid4().hex
    with suppress(OSError, ValueError):  # nobody reads the log any more
        sys.stderr.write(f"mlmesh: error {error_id} (request {request_id})\n{_format_traceback(error)}")
        sys.stderr.flush()
    return error_id


def describe_exception(error: BaseException) -> str:
    """Type and message, as the last line of a traceback has them."""
    name, text = _qualified_name(type(error)), _exception_text(error)
    return f"{name}: {text}" if text else name


def print_traceback(error: BaseException) -> None:
    """To stderr, as Python does, from the developer's own code on."""
    sys.stderr.write(_format_traceback(error))


def _format_traceback(error: BaseException) -> str:
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_RUNTIME_FILES):
        tb = tb.tb_next
    if tb is None and not isinstance(error, SyntaxError):  # that one says where it is
        tb = error.__traceback__
    try:
        lines = traceback.format_exception(type(error), error, tb)
    except Exception:  # noqa: BLE001 - exceptions hold others, and their texts are the developer's code
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
        return _make_printable(str(error), MAX_TEXT)
    except BaseException as fault:  # noqa: BLE001 - it is the developer's code that makes the text
        return f"(its text cannot be told: {_qualified_name(type(fault))})"


def _make_printable(text: str, limit: int) -> str:
    """As UTF-8 can write it, and no longer than `limit` characters: the beginning and the end."""
    if len(text) > limit:
        text = f"{text[: limit // 2]} … {text[-limit // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
