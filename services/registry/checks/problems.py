"""Problems of manifests, and other errors of a deployment, as the API shows them. Pure."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from libs.common.http.response_shapes import response_shape
from libs.common.manifests import Problem


@response_shape
class ManifestProblemJson(TypedDict):
    """An error or a warning, at its position in a file of the repository where it has one."""

    file: str | None
    line: int | None
    """From 1, as `column`."""
    column: int | None
    message: str


@response_shape
class DeploymentErrorJson(ManifestProblemJson):
    """Why a deployment failed; the further members are those of the component that failed to start."""

    component: NotRequired[str]
    reason: NotRequired[str]
    log_tail: NotRequired[list[str]]
    """The last lines of its log."""


def error_without_position(message: str) -> DeploymentErrorJson:
    """An error without a position in a manifest."""
    return {"file": None, "line": None, "column": None, "message": message}


def problem_to_json(problem: Problem) -> DeploymentErrorJson:
    """A problem in the JSON of deployments and of validate."""
    return {"file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message}


def describe_error(error: DeploymentErrorJson) -> str:
    """The sentence, with its place when there is one."""
    place = f"{error['file']}:{error['line']}:{error['column']}: " if error.get("file") else ""
    return f"{place}{error['message']}"
