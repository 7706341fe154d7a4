"""Repository: the Git repository of an app's manifests."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator

from libs.common.manifests.fields import Duration, Flag, Folder, Header, MinQuantity, Name, Pattern, Section
from libs.common.manifests.problems import Finding

BRANCH: Final = r"(?!-)(?!.*(\.\.|//|@\{|\.lock$|/$))[^\s~^:?*\[\\\x00-\x1f]{1,255}"
TAGS: Final = r"(?!-)(?!.*(\.\.|//|@\{|\.lock$|/$))[^\s~^:\[\]\\\x00-\x1f]{1,255}"
DEFAULT_BRANCH: Final = "main"
URL_PATTERN: Final = re.compile(r"(https?|ssh|file)://[^\s]+|[\w.-]+@[\w.-]+:[^\s]([^\t-\r]*[^\s])?", re.ASCII)


def normalize_url(url: str) -> str:
    """Accepts only URLs from which git fetches: `ext::` and similar forms run programs. A space becomes %20."""
    url = url.strip(" ")
    url = url.replace(" ", "%20") if "://" in url else url
    if not URL_PATTERN.fullmatch(url):
        raise ValueError("must be an https://, ssh:// or file:// address, or user@host:path")
    if re.match(r"https?://[^/]*@", url):
        raise ValueError('must not contain a password; name a Secret in "credentials"')
    return url


class Webhook(Section):
    secret: Name | None = None


ForgeName = Literal[
    "github", "gitea", "forgejo", "gogs", "gitbucket", "gitlab", "bitbucket", "bitbucket-dc", "azure", "none"
]


class StatusReports(Section):
    """What the forge is told of each commit; `status: off` in YAML is `enabled: false`."""

    credentials: Name | None = None
    enabled: Flag = True


def read_status(value: object) -> object:
    """`off` is a text here, and false in other readers of YAML."""
    return {"enabled": False} if value == "off" or value is False else value


class RepositorySpec(Section):
    url: Annotated[str, AfterValidator(normalize_url)] | None = None
    """None: the built-in repository, to which one pushes at `{public URL}/git/{app}.git`."""
    branch: Annotated[str, Pattern(BRANCH, "must be the name of a branch")] | None = None
    """None: main, unless tags are followed."""
    tags: Annotated[str, Pattern(TAGS, "must be a pattern of tags, such as v*")] | None = None
    """The newest tag that matches is followed: by version, others by name."""
    path: Folder = "manifests"
    credentials: Name | None = None
    poll_interval: Annotated[Duration, MinQuantity(1, "1s")] = 30.0
    webhook: Webhook = Webhook()
    forge: ForgeName | None = None
    """None: by the host, else by the first verified delivery."""
    status: Annotated[
        StatusReports,
        BeforeValidator(read_status, json_schema_input_type=StatusReports | Literal["off", False]),
    ] = StatusReports()


class Repository(Header):
    kind: Literal["Repository"]
    spec: RepositorySpec = RepositorySpec()

    def list_findings(self) -> Iterator[Finding]:
        if self.spec.branch is not None and self.spec.tags is not None:
            yield Finding(("spec", "tags"), '"branch" and "tags" exclude each other; remove one of them')
