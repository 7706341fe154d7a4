"""PlatformApp: a module's name on the platform and who owns it."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from libs.common.manifests.fields import Duration, Header, Section, UserName
from libs.common.manifests.problems import Finding

RESERVED_NAMESPACES: Final = ("api", "hooks", "console", "git", "links", "healthz", "readyz", "metrics", "docs")


class PlatformAppSpec(Section):
    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: str = ""
    module_kind: Literal["base", "mlops", "data"] = "base"
    owners: tuple[UserName, ...] = ()
    retention: Duration | None = None


class PlatformApp(Header):
    kind: Literal["PlatformApp"]
    spec: PlatformAppSpec

    @property
    def namespace(self) -> str:
        """The app's full name: `metadata.namespace`, or `metadata.name` when there is none."""
        return self.metadata.namespace or self.metadata.name

    def list_findings(self) -> Iterator[Finding]:
        if self.namespace in RESERVED_NAMESPACES:
            where = ("metadata", "namespace" if self.metadata.namespace else "name")
            reserved = ", ".join(RESERVED_NAMESPACES)
            yield Finding(where, f'"{self.namespace}" is reserved ({reserved}); choose another name')
