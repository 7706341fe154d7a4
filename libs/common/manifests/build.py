"""`image.build`: an image that a worker builds from a folder of the repository, at the deployed commit."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import model_validator

from libs.common.dockerfile_frontend import SYNTAX_ARGUMENT
from libs.common.manifests.fields import (
    Duration,
    Folder,
    Image,
    Name,
    Pattern,
    RelativePath,
    Section,
)
from libs.common.protocol.container import Egress

DEBIAN_PACKAGE: Final = r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?(?:=[A-Za-z0-9.+~:-]+)?"
DebianPackage = Annotated[str, Pattern(DEBIAN_PACKAGE, "must be the name of a Debian package such as libgl1")]
ArgumentName = Annotated[str, Pattern(r"[A-Za-z_][A-Za-z0-9_]*", "must be letters, digits and _, as ARG names it")]
WRITTEN_ONLY: Final = ("base", "packages")
"""Fields of the Dockerfile that the platform writes."""


class Build(Section):
    """Equal ones in one app share an image."""

    context: Folder = "."
    dockerfile: RelativePath | None = None
    base: Image | None = None
    packages: tuple[DebianPackage, ...] = ()
    args: Mapping[ArgumentName, str] = {}
    secrets: tuple[Name, ...] = ()
    timeout: Duration = 1800.0
    network: Egress = "internet"

    @model_validator(mode="after")
    def check_single_dockerfile(self) -> Self:
        for name in WRITTEN_ONLY if self.dockerfile is not None else ():
            if getattr(self, name):
                raise ValueError(f'"{name}" is for a Dockerfile that the platform writes; say it in "dockerfile"')
        return self

    @model_validator(mode="after")
    def check_arguments(self) -> Self:
        if SYNTAX_ARGUMENT in self.args:
            raise ValueError(f'"args" must not name {SYNTAX_ARGUMENT}: Docker\'s own frontend reads the Dockerfile')
        return self


def list_contexts(builds: Sequence[Build]) -> dict[str, tuple[str, ...]]:
    """The folders that images are built from, each with the Dockerfiles in it that manifests name."""
    folders: dict[str, set[str]] = {}
    for build in builds:
        folders.setdefault(build.context, set()).update([build.dockerfile] if build.dockerfile else [])
    return {folder: tuple(sorted(dockerfiles)) for folder, dockerfiles in sorted(folders.items())}
