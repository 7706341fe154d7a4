"""An app and its repository as values, and how manifests become them."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.errors import Conflict
from libs.common.http.response_shapes import Commit, response_shape
from libs.common.manifests import PlatformApp
from libs.common.manifests import Repository as Manifest
from libs.common.manifests.repository import DEFAULT_BRANCH, RepositorySpec

WEBHOOK_KEY = "secret"
"""The key of the webhook secret within its Secret, whether generated or set by the owner."""

REMOVAL_RETRY_S = 10.0
"""`Retry-After` while the remains of a deleted app are removed."""


@response_shape
class RepositoryJson(TypedDict):
    """The Git repository that an app is deployed from."""

    url: Annotated[str, Field(examples=["https://git.example/lab/texts.git"])]
    branch: Annotated[str | None, Field(examples=["main"])]
    """Null when tags are followed."""
    tags: Annotated[str | None, Field(examples=["v*"])]
    """The newest tag that matches is followed."""
    path: Annotated[str, Field(examples=["manifests"])]
    """The folder with the manifests."""
    poll_interval: float
    """Seconds."""
    head: Commit | None
    """The newest known commit of the branch, or of the tags."""
    poll_error: str | None
    """Why the repository could not be read the last time."""
    status_error: str | None
    """Why the forge does not show what was deployed: its answer to the last commit status."""


class AppBeingRemoved(Conflict):
    """The app of this name was deleted, and its remains are not gone yet."""

    def __init__(self, app: str, failure: str | None = None) -> None:
        """`failure`: why the last try to remove them did not succeed."""
        what = "its runs and instances end and its copy of the repository is deleted"
        because = f" ({failure})" if failure else ""
        super().__init__(
            f'the former app "{app}" is still being removed: {what}{because}; '
            f"this goes on by itself, try again in {REMOVAL_RETRY_S:.0f} s",
            retry_after=REMOVAL_RETRY_S,
        )


@dataclass(frozen=True)
class App:
    name: str
    title: str
    description: str = ""
    module_kind: str = "base"
    owners: tuple[str, ...] = ()
    created_at: float = 0.0

    @classmethod
    def from_manifest(cls, manifest: PlatformApp) -> Self:
        spec = manifest.spec
        return cls(manifest.namespace, spec.title, spec.description, spec.module_kind, spec.owners)

    def declared_fields(self) -> dict[str, object]:
        """The columns that a PlatformApp manifest sets."""
        return {
            "title": self.title,
            "description": self.description,
            "module_kind": self.module_kind,
            "owners": list(self.owners),
        }


@dataclass(frozen=True)
class Repository:
    """`head` is the branch's newest known commit, `abandoned_head` the head that a rollback moved away from."""

    app: str
    name: str
    url: str | None
    """None: the built-in repository."""
    branch: str
    path: str
    credentials: str | None
    poll_interval: float
    webhook_secret: str | None
    encrypted_webhook_secret: bytes | None = None
    head: str | None = None
    abandoned_head: str | None = None
    poll_error: str | None = None
    polled_at: float = 0.0
    tags: str | None = None
    """Pattern of the tags of which the newest is followed; None: the branch is."""
    forge: str | None = None
    """As the manifest says."""
    delivery_forge: str | None = None
    """The sender of the first verified delivery."""
    status_credentials: str | None = None
    sends_statuses: bool = True
    status_error: str | None = None
    refused_secret: str | None = None
    """Name and version of the Secret whose token the forge refused."""

    @classmethod
    def from_manifest(cls, app: str, manifest: Manifest) -> Self:
        spec = manifest.spec
        name = manifest.metadata.name
        return cls(
            app, name, spec.url, spec.branch or DEFAULT_BRANCH, spec.path, spec.credentials, spec.poll_interval,
            spec.webhook.secret, tags=spec.tags, forge=spec.forge, status_credentials=spec.status.credentials,
            sends_statuses=spec.status.enabled,
        )  # fmt: skip

    @classmethod
    def new_hosted(cls, app: str, branch: str, polled_at: float = 0.0) -> Self:
        """The Repository of an app that the first push creates: the defaults of the manifest."""
        spec = RepositorySpec()
        return cls(app, app, None, branch, spec.path, None, spec.poll_interval, None, polled_at=polled_at)

    def declared_fields(self) -> dict[str, object]:
        """The columns that a Repository manifest sets."""
        names = (
            "name", "url", "branch", "path", "credentials", "poll_interval", "webhook_secret", "forge",
            "status_credentials", "sends_statuses", "tags",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def follows(self, ref: str) -> bool:
        """Whether the head may change with this ref."""
        if self.tags is None:
            return ref == f"refs/heads/{self.branch}"
        return fnmatchcase(ref, f"refs/tags/{self.tags}")

    @property
    def may_send_statuses(self) -> bool:
        """Whether there is a forge, and a Secret that may hold a token for it."""
        has_credentials = (self.status_credentials or self.credentials) is not None
        return self.url is not None and self.sends_statuses and self.forge != "none" and has_credentials

    def to_json(self, hosted_url: str) -> RepositoryJson:
        """`hosted_url`: the address of the built-in repository."""
        return {
            "url": hosted_url if self.url is None else self.url,
            "branch": self.branch if self.tags is None else None,
            "tags": self.tags,
            "path": self.path,
            "poll_interval": self.poll_interval,
            "head": self.head,
            "poll_error": self.poll_error,
            "status_error": self.status_error,
        }
