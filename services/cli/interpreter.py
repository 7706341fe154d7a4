"""Chooses the Python interpreter for a checkout's code."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from services.cli import render
from services.cli.cli_errors import WrongUsage

HELP = "Interpreter that has the module's libraries, such as .venv/bin/python; default: that of mlmesh."
REQUIREMENTS = "requirements.txt"


def choose_interpreter(program: str, folder: Path) -> str:
    """The absolute path of `program`, relative to the working directory; by default that of this process.

    Installs nothing; notes that the user must install the requirements. Raises WrongUsage.
    """
    if not program:
        if (folder / REQUIREMENTS).exists():
            render.write_note(
                f"runs with {sys.executable}, without {REQUIREMENTS}; --python names one that has installed it"
            )
        return sys.executable
    executable = shutil.which(os.path.expanduser(program))
    if executable is None:
        raise WrongUsage(f"--python {program}: there is no such program")
    return os.path.abspath(executable)
