"""The command tree of Typer; its errors become those of commands here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from services.cli import render
from services.cli.cli_errors import Failure, WrongUsage
from services.cli.lazy_commands import LazyGroup, list_subcommands
from services.cli.service_factories import ServiceFactories

UNKNOWN_COMMAND = re.compile(r"No such command '([^']+)'")


def run_command(words: Sequence[str], factories: ServiceFactories) -> int:
    """Run the command that these words call; returns its exit code. Raises MeshError, OSError, SystemExit."""
    try:
        return _run_command(words, factories)
    except WrongUsage as error:
        if words[:1] == ["diff"] and "--exit-code" in words:  # there 2 says that something changes
            raise Failure(error.detail, **error.extensions) from error
        raise


def _run_command(words: Sequence[str], factories: ServiceFactories) -> int:
    tree = build_command_tree()
    try:
        return int(tree(args=list(words), obj=factories, prog_name="mlmesh", standalone_mode=False) or 0)
    except typer.TyperException as error:
        raise _wrong_usage(error) from error
    except typer.Abort as error:
        render.write_note("")  # ends the line of the prompt
        raise Failure("nothing is done; there was no yes") from error


def build_command_tree() -> typer.Typer:
    root = typer.Typer(
        cls=LazyGroup,
        help="Push a Git repository with a few manifests; get a web service.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback()(root_options)
    return root


def _wrong_usage(error: typer.TyperException) -> WrongUsage:
    """The error, the correct usage, and the help command. For a group without a command: its whole help."""
    message: str = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return WrongUsage(message)
    usage = " ".join(context.get_usage().removeprefix("Usage:").split())
    if message.startswith("Usage:"):
        return WrongUsage(f"a command is missing; write {usage}", help=message)
    sentence = f"{message[:1].lower()}{message[1:]}"
    unknown = UNKNOWN_COMMAND.match(message)
    if unknown and context.parent is None and (names := list_subcommands(unknown[1])):
        return WrongUsage(f"{sentence}; did you mean {' or '.join(f'mlmesh {name}' for name in names)}?")
    return WrongUsage(f"{sentence}; write {usage}, or see: {context.command_path} --help")


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
