"""`mlmesh git-credential`: a credential helper of Git (gitcredentials(7)), for pushes to a mesh that it knows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Annotated
from urllib.parse import urlsplit

import typer

from services.cli import render
from services.cli.profile import load_profile

MAX_LINES = 100
"""Git sends fewer than ten."""


def git_credential(operation: Annotated[str, typer.Argument(metavar="OPERATION", help="What Git asks for.")]) -> None:
    """Sign git push in: git config credential.helper '!mlmesh git-credential'."""
    if operation != "get":
        return
    question = parse_question(sys.stdin)
    if lines := answer_question(question, os.environ):
        render.write_lines("\n".join(lines))
    else:
        address = f"{question.get('protocol', 'http')}://{question.get('host', 'HOST')}"
        render.write_note(f"mlmesh: no token is known for {address}; sign in with: mlmesh login {address}")


def parse_question(lines: Iterable[str]) -> dict[str, str]:
    """`protocol`, `host` and more, one `name=value` a line, up to an empty line."""
    question: dict[str, str] = {}
    for line, _ in zip(lines, range(MAX_LINES), strict=False):
        name, separator, value = line.rstrip("\n").partition("=")
        if not separator:
            break
        question[name] = value
    return question


def answer_question(question: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """User and password for the mesh at that address; nothing for a mesh without a known token, and for other hosts."""
    address = f"{question.get('protocol', '')}://{question.get('host', '')}"
    profile = load_profile(environ)
    if not is_same_address(profile.url, address):
        profile = load_profile({name: value for name, value in environ.items() if name != "MLMESH_TOKEN"}, address)
    return ["username=mlmesh", f"password={profile.token}"] if profile.token else []


def is_same_address(url: str, address: str) -> bool:
    """Whether both have the same scheme, host and port."""
    return urlsplit(url)[:2] == urlsplit(address)[:2]
