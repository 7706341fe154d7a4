"""Checks of FILE items that a function returned: readable files with names that a box accepts."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from ..exception_log import LoggedException
from ..problems import WrongOutput
from .box_paths import find_name_fault
from .context import Context
from .items import Item

MAX_NAME_CHARACTERS = 80
"""Characters of a file's name in an error message."""


def get_output_path(output: Item, context: Context) -> str:
    """The local path of a FILE output; raises `WrongOutput` if it is not a file, or no box accepts its name."""
    path, subject = output["data"], f"The function's output {output['name']!r}"
    try:
        _check_readable(path)
    except (OSError, TypeError, ValueError) as error:
        members = LoggedException(error, context).build_members(context)
        raise WrongOutput(f"{subject} names a file that cannot be read.", **members) from error
    name = os.path.basename(path)
    if fault := find_name_fault(name):
        raise WrongOutput(
            f"{subject} is a file whose name no box accepts, {_shorten_name(name)}: {fault}; give it another name."
        )
    return str(path)


def _check_readable(path: Any) -> None:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "Not a file", path)
    open(path, "rb").close()


def _shorten_name(name: str) -> str:
    return ascii(name if len(name) <= MAX_NAME_CHARACTERS else name[:MAX_NAME_CHARACTERS] + "…")
