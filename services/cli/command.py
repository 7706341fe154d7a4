"""Runs the command line: the only place that turns an error into a message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from libs.common.errors import MeshError
from services.cli import render, standard_streams
from services.cli.cli_errors import FAILED, INTERRUPTED, READER_GONE, Failure, error_lines, exit_code
from services.cli.credential_helper import GIT_CALL, sign_git_in
from services.cli.import_interrupt import end_on_interrupt
from services.cli.service_factories import ServiceFactories


def main(factories: ServiceFactories, arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if not standard_streams.prepare_streams():
        return report_error(Failure("standard output is closed; there is nowhere to print to"))
    try:
        code = run_words(sys.argv[1:] if arguments is None else arguments, factories)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer exits so on a closed pipe
            standard_streams.discard_output(sys.stdout)
            return READER_GONE
        return ended.code if isinstance(ended.code, int) else FAILED
    except (MeshError, OSError, UnicodeError) as error:
        return report_error(error)
    if code == INTERRUPTED:
        render.write_note("mlmesh: interrupted")
    return code


def run_words(words: Sequence[str], factories: ServiceFactories) -> int:
    """Run one command. What Git calls twice a push runs without Typer, whose import takes most of its time."""
    if tuple(words) == GIT_CALL:
        sign_git_in(words[1])
        return 0
    with end_on_interrupt():
        from services.cli.command_tree import run_command
    return run_command(words, factories)


def report_error(error: Exception) -> int:
    """Print the error; returns the exit code."""
    for line in error_lines(error):
        render.write_note(f"mlmesh: {line}" if not line.startswith(" ") else line)
    if isinstance(error, OSError):  # standard output may be what failed
        standard_streams.discard_output(sys.stdout)
    return exit_code(error)
