"""The Python interpreter that a checkout's code runs in on this machine."""

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
    """The path of the one that was given, which is relative to where we are, else of our own.

    Nothing is installed: a person is told that requirements are theirs. Raises WrongUsage.
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
