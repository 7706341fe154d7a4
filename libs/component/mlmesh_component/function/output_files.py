"""FILE items that a function returned: local paths, of files that a box could hold."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from ..exception_log import Raised
from ..problems import WrongOutput
from .box_paths import refusal
from .context import Context
from .items import Item

MAX_SHOWN = 80
"""Characters of a file's name in a message."""


def returned_file(output: Item, context: Context) -> str:
    """The local path that a returned FILE item names; `WrongOutput` when it is no file, or none that a box can hold."""
    path, told = output["data"], f"The function's output {output['name']!r}"
    try:
        _check_readable(path)
    except (OSError, TypeError, ValueError) as error:
        members = Raised(error, context).members(context)
        raise WrongOutput(f"{told} names a file that cannot be read.", **members) from error
    name = os.path.basename(path)
    if why := refusal(name):
        raise WrongOutput(f"{told} is a file that no box can hold, {_shown(name)}: {why}; give it another name.")
    return str(path)


def _check_readable(path: Any) -> None:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "Not a file", path)
    open(path, "rb").close()


def _shown(name: str) -> str:
    return ascii(name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "…")
