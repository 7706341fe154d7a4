"""Answers Git's questions for a token (gitcredentials(7)), for the meshes that the command knows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from services.cli import render
from services.cli.profile import load_profile

GIT_CALL = ("git-credential", "get")
"""The words of the command line for which a push waits."""
MAX_LINES = 100
"""Git sends fewer than ten."""


def sign_git_in(operation: str) -> None:
    """Answer a question on standard input. Nothing but `get` needs an answer: `mlmesh login` stores tokens."""
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
