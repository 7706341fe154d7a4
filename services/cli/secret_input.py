"""Reads a secret: a value, a token or a password."""

from __future__ import annotations

import sys

import typer

from services.cli.cli_errors import Failure


def read_secret_text(what: str) -> str:
    """Read a secret: from a prompt without echo, else all of standard input without its last line break."""
    try:
        prompt = f"{what} (typed unseen)"
        value = typer.prompt(prompt, hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    except typer.Abort:
        value = ""
    if not value.strip():
        raise Failure(f"no {what} was given")
    return str(value).removesuffix("\n").removesuffix("\r")
