"""How a forge shows errors at their lines in the manifests of a commit. Pure.

Sources: GitLab "Commits API" (comments), Bitbucket Cloud "Reports", Bitbucket Data Center "Code insights".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.registry.forges.api_locations import (
    locate_bitbucket_commit,
    locate_data_center_commit,
    locate_gitlab_project,
)
from services.registry.forges.commit_status import CommitStatus
from services.registry.forges.repository_address import RepositoryAddress

MAX_ANNOTATIONS = 20
"""Of one commit."""
MAX_SUMMARY = 450
"""Characters, of Bitbucket Cloud; the others take more."""


@dataclass(frozen=True)
class Annotation:
    """`line` counts from 1, `column` too."""

    path: str
    line: int
    column: int
    message: str

    @property
    def summary(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"[:MAX_SUMMARY]


@dataclass(frozen=True)
class ApiCall:
    """`body` becomes JSON; None: no body."""

    method: str
    url: str
    body: object = None


def annotate_gitlab(
    address: RepositoryAddress, status: CommitStatus, annotations: Sequence[Annotation]
) -> tuple[ApiCall, ...]:
    """A comment for each, at its line when the commit has changed that: the text names the place, too."""
    url = f"{locate_gitlab_project(address)}/repository/commits/{status.commit}/comments"
    return tuple(
        ApiCall(
            "POST", url,
            {
                "note": f"{status.context}: {quote_code(annotation.summary)}", "path": annotation.path,
                "line": annotation.line, "line_type": "new",
            },
        )
        for annotation in annotations
    )  # fmt: skip


def quote_code(text: str) -> str:
    """As code in Markdown, which mentions nobody and runs no command."""
    return f"`` {' '.join(text.replace('`', chr(39)).split())} ``"


def annotate_bitbucket(
    address: RepositoryAddress, status: CommitStatus, annotations: Sequence[Annotation]
) -> tuple[ApiCall, ...]:
    """A report with all of them; one of the same id is replaced."""
    report = f"{locate_bitbucket_commit(address, status.commit)}/reports/{name_report(status)}"
    details = [
        {
            "external_id": f"{name_report(status)}-{number}", "annotation_type": "BUG", "severity": "HIGH",
            "path": annotation.path, "line": annotation.line, "summary": annotation.summary,
        }
        for number, annotation in enumerate(annotations, start=1)
    ]  # fmt: skip
    head = {**_describe_report(status), "report_type": "BUG", "result": "FAILED"}
    return ApiCall("PUT", report, head), ApiCall("POST", f"{report}/annotations", details)


def annotate_data_center(
    address: RepositoryAddress, status: CommitStatus, annotations: Sequence[Annotation]
) -> tuple[ApiCall, ...]:
    """A report with all of them, in place of those that it had."""
    report = f"{locate_data_center_commit(address, status.commit, 'insights')}/reports/{name_report(status)}"
    details = [
        {"path": annotation.path, "line": annotation.line, "message": annotation.summary, "severity": "HIGH"}
        for annotation in annotations
    ]
    return (
        ApiCall("PUT", report, {**_describe_report(status), "result": "FAIL"}),
        ApiCall("DELETE", f"{report}/annotations"),
        ApiCall("POST", f"{report}/annotations", {"annotations": details}),
    )


def name_report(status: CommitStatus) -> str:
    return status.context.replace("/", "-")


def _describe_report(status: CommitStatus) -> dict[str, str]:
    return {
        "title": status.context,
        "details": status.description[:MAX_SUMMARY],
        "reporter": "mlmesh",
        "link": status.url,
    }
