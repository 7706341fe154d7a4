"""The command tree, and the only place that turns an error into a message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from libs.common.errors import MeshError
from services.cli import (
    apply,
    apps,
    boxes,
    components,
    deployments,
    down,
    gateway_processes,
    git_credential,
    init,
    predict,
    render,
    runs,
    schedules,
    secrets,
    serve_local,
    service_process,
    standard_streams,
    tokens,
    up,
    validate,
    workers,
)
from services.cli.cli_errors import FAILED, INTERRUPTED, READER_GONE, Failure, error_lines, exit_code
from services.cli.service_factories import ServiceFactories

SERVICES = ("registry", "scheduler", "databox")
"""Without `worker`, which is a group with its own commands."""


def main(factories: ServiceFactories, arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if not standard_streams.prepare_streams():
        return report_error(Failure("standard output is closed; there is nowhere to print to"))
    try:
        code = int(build_command_tree()(args=arguments, obj=factories, prog_name="mlmesh", standalone_mode=False) or 0)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer exits so on a closed pipe
            standard_streams.discard_output(sys.stdout)
            return READER_GONE
        return ended.code if isinstance(ended.code, int) else FAILED
    except (MeshError, OSError, UnicodeError, typer.TyperException, typer.Abort) as error:
        return report_error(error)
    if code == INTERRUPTED:
        render.write_note("mlmesh: interrupted")
    return code


def report_error(error: Exception) -> int:
    """Print the error; returns the exit code."""
    if isinstance(error, typer.Abort):
        render.write_note("")  # ends the line of the prompt
    for line in error_lines(error):
        render.write_note(f"mlmesh: {line}" if not line.startswith(" ") else line)
    if isinstance(error, OSError):  # standard output may be what failed
        standard_streams.discard_output(sys.stdout)
    return exit_code(error)


def build_command_tree() -> typer.Typer:
    root = typer.Typer(
        help="Push a Git repository with a few manifests; get a web service.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback()(root_options)
    for name, command in COMMANDS.items():
        root.command(name)(command)
    for name, nouns in COMMAND_GROUPS.items():
        root.add_typer(nouns, name=name)
    return root


COMMANDS: dict[str, Callable[..., None]] = {
    "up": up.up,
    "down": down.down,
    "gateway": gateway_processes.gateway,
    **{name: service_process.service_command(name) for name in SERVICES},
    "migrate": service_process.migrate,
    "init": init.init,
    "validate": validate.validate,
    "apply": apply.apply,
    "login": apply.login,
    "git-credential": git_credential.git_credential,
    "predict": predict.predict,
}
COMMAND_GROUPS = {
    "serve": serve_local.nouns,
    "app": apps.nouns,
    "deployment": deployments.nouns,
    "component": components.nouns,
    "run": runs.nouns,
    "box": boxes.nouns,
    "secret": secrets.nouns,
    "key": tokens.keys,
    "token": tokens.tokens,
    "worker": workers.workers,
    "queue": workers.queues,
    "schedule": schedules.nouns,
}


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version as of

        render.write_lines(f"mlmesh {of('mlmesh')}")
        raise typer.Exit()


def root_options(
    show: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """The options before any command."""
