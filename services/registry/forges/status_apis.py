"""One row a forge: how it is told the status of a commit. Pure.

Sources: GitHub "Commit statuses", Gitea and Forgejo `/api/swagger`, GitBucket's API, GitLab "Commits API", Bitbucket
Cloud "Commit statuses", Bitbucket Data Center "Builds and Deployments", Azure DevOps "Git statuses".
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.registry.forges.access_tokens import (
    AccessToken,
    send_basic,
    send_basic_or_bearer,
    send_gitea_token,
    send_gitlab_token,
)
from services.registry.forges.annotations import (
    MAX_ANNOTATIONS,
    Annotation,
    ApiCall,
    annotate_bitbucket,
    annotate_data_center,
    annotate_gitlab,
)
from services.registry.forges.api_locations import (
    locate_azure,
    locate_bitbucket,
    locate_data_center,
    locate_gitbucket,
    locate_gitea,
    locate_github,
    locate_gitlab,
)
from services.registry.forges.commit_status import CommitState, CommitStatus
from services.registry.forges.repository_address import RepositoryAddress

MAX_KEY = 40
"""Characters of a key of Bitbucket Cloud."""
Annotate = Callable[[RepositoryAddress, CommitStatus, Sequence[Annotation]], tuple[ApiCall, ...]]
States = Mapping[CommitState, str]
JsonObject = Mapping[str, object]


@dataclass(frozen=True)
class ApiRequest:
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


class UnknownAddress(Exception):
    """The repository's address is not one of this forge."""


@dataclass(frozen=True)
class StatusApi:
    """`locate` gives the URL for a commit; `describe` the body, with a description of at most `max_description`."""

    title: str
    states: States
    locate: Callable[[RepositoryAddress, str], str]
    authorize: Callable[[AccessToken], Mapping[str, str]]
    describe: Callable[[CommitStatus, str], JsonObject]
    scope: str
    """What the token must be allowed to, in the forge's words."""
    max_description: int = 255
    annotate: Annotate | None = None
    """How errors are shown at their lines."""

    def build_request(self, address: RepositoryAddress, token: AccessToken, status: CommitStatus) -> ApiRequest:
        """Raises UnknownAddress."""
        if len(address.parts) < 2:
            raise UnknownAddress(f"{address.origin} has no repository of {self.title}: owner and name are missing")
        shortened = replace(status, description=cut(status.description, self.max_description))
        body = self.describe(shortened, self.states[status.state])
        return self._complete(ApiCall("POST", self.locate(address, status.commit), body), token)

    def build_annotations(
        self, address: RepositoryAddress, token: AccessToken, status: CommitStatus, annotations: Sequence[Annotation]
    ) -> list[ApiRequest]:
        """To be sent in this order, after the status. The first MAX_ANNOTATIONS; none when the forge shows none."""
        if self.annotate is None or not annotations:
            return []
        calls = self.annotate(address, status, annotations[:MAX_ANNOTATIONS])
        return [self._complete(call, token) for call in calls]

    def _complete(self, call: ApiCall, token: AccessToken) -> ApiRequest:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "mlmesh"}
        headers |= self.authorize(token)
        return ApiRequest(call.method, call.url, headers, b"" if call.body is None else json.dumps(call.body).encode())


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _states(pending: str, success: str, failure: str, canceled: str, *, running: str | None = None) -> States:
    return {
        CommitState.PENDING: pending,
        CommitState.RUNNING: running or pending,
        CommitState.SUCCESS: success,
        CommitState.FAILURE: failure,
        CommitState.CANCELED: canceled,
    }


def describe_github_status(status: CommitStatus, state: str) -> JsonObject:
    return {
        "state": state,
        "target_url": status.url,
        "description": status.description,
        "context": status.context,
    }


def describe_gitlab_status(status: CommitStatus, state: str) -> JsonObject:
    return {"state": state, "target_url": status.url, "description": status.description, "name": status.context}


def describe_bitbucket_status(status: CommitStatus, state: str) -> JsonObject:
    return {
        "key": cut_key(status.context),
        "state": state,
        "name": status.context,
        "url": status.url,
        "description": status.description,
    }


def describe_azure_status(status: CommitStatus, state: str) -> JsonObject:
    genre, _, name = status.context.partition("/")
    return {
        "state": state,
        "description": status.description,
        "targetUrl": status.url,
        "context": {"genre": genre, "name": name},
    }


def cut_key(context: str) -> str:
    """Names of apps have at most 63 characters; what is cut is replaced by a checksum that tells them apart."""
    return context if len(context) <= MAX_KEY else f"{context[: MAX_KEY - 9]}-{zlib.crc32(context.encode()):08x}"


GITEA = StatusApi(
    "Gitea",
    _states("pending", "success", "failure", "warning"),
    locate_gitea,
    send_gitea_token,
    describe_github_status,
    scope="write:repository",
)
STATUS_APIS: Mapping[str, StatusApi] = {
    "github": StatusApi(
        "GitHub",
        _states("pending", "success", "failure", "error"),
        locate_github,
        send_basic_or_bearer,
        describe_github_status,
        scope="commit statuses: write",
        max_description=140,
    ),
    "gitea": GITEA,
    "forgejo": replace(GITEA, title="Forgejo"),
    "gitbucket": StatusApi(
        "GitBucket",
        _states("pending", "success", "failure", "error"),
        locate_gitbucket,
        send_gitea_token,
        describe_github_status,
        scope="a user who may write to the repository",
    ),
    "gitlab": StatusApi(
        "GitLab",
        _states("pending", "success", "failed", "canceled", running="running"),
        locate_gitlab,
        send_gitlab_token,
        describe_gitlab_status,
        scope="api, with the role Developer",
        annotate=annotate_gitlab,
    ),
    "bitbucket": StatusApi(
        "Bitbucket",
        _states("INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"),
        locate_bitbucket,
        send_basic_or_bearer,
        describe_bitbucket_status,
        scope="repository: write",
        annotate=annotate_bitbucket,
    ),
    "bitbucket-dc": StatusApi(
        "Bitbucket Data Center",
        _states("INPROGRESS", "SUCCESSFUL", "FAILED", "CANCELLED"),
        locate_data_center,
        send_basic_or_bearer,
        describe_bitbucket_status,
        scope="repository: read",
        annotate=annotate_data_center,
    ),
    "azure": StatusApi(
        "Azure DevOps",
        _states("pending", "succeeded", "failed", "notApplicable"),
        locate_azure,
        send_basic,
        describe_azure_status,
        scope="Code (status)",
    ),
}
"""Forges that are not here show no statuses."""
