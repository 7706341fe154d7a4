"""`mlmesh git-credential` for a person; Git's own calls run without Typer (`credential_helper`)."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.credential_helper import sign_git_in


def git_credential(operation: Annotated[str, typer.Argument(metavar="OPERATION", help="What Git asks for.")]) -> None:
    """Sign git push in: git config credential.helper '!mlmesh git-credential'."""
    sign_git_in(operation)
