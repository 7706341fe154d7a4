"""Problems of manifests, and other errors of a deployment, as the API shows them. Pure."""

from __future__ import annotations

from typing import Any

from libs.common.manifests import Problem


def error_without_position(message: str) -> dict[str, Any]:
    """An error without a position in a manifest."""
    return {"file": None, "line": None, "column": None, "message": message}


def problem_to_json(problem: Problem) -> dict[str, Any]:
    """A problem in the JSON of deployments and of validate."""
    return {"file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message}
