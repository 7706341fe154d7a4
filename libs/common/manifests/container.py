"""Container fields of MLComponents and pipeline stages: image, environment, resources, isolation."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Self

from pydantic import AfterValidator, model_validator

from libs.common.manifests.build import Build
from libs.common.manifests.configmap import ConfigMaps
from libs.common.manifests.fields import (
    Cores,
    Count,
    Flag,
    Image,
    MinQuantity,
    Name,
    Pattern,
    Reference,
    Section,
    Size,
    require_exactly_one,
)
from libs.common.manifests.problems import Finding, Path
from libs.common.protocol.container import Egress, EnvSource

RESERVED_PREFIXES: Final = ("MLMESH_", "UNIP_PIPELINE_")
ENV_NAME: Final = Pattern(r"[A-Za-z_][A-Za-z0-9_]*", "must be letters, digits and _, not starting with a digit")
MIN_MEMORY: Final = 6 * 2**20  # bytes; the minimum of the container engine


def check_not_reserved(name: str) -> str:
    if name.startswith(RESERVED_PREFIXES):
        raise ValueError(f"must not start with {' or '.join(RESERVED_PREFIXES)}: the platform sets these")
    return name


class ImageSource(Section):
    existing_image_name: Image | None = None
    build: Build | None = None
    credentials: Name | None = None

    @model_validator(mode="after")
    def check_one_source(self) -> Self:
        require_exactly_one(self, "existingImageName", "build")
        if self.build is not None and self.credentials is not None:
            raise ValueError('"credentials" is for "existingImageName", an image that is pulled; remove it')
        return self


class EnvVar(Section):
    name: Annotated[str, ENV_NAME, AfterValidator(check_not_reserved)]
    value: str


class EnvFrom(Section):
    secret_ref: Reference | None = None
    config_map_ref: Reference | None = None

    @model_validator(mode="after")
    def check_one_source(self) -> Self:
        require_exactly_one(self, "secretRef", "configMapRef")
        return self


def secret_names(sources: Sequence[EnvFrom]) -> list[str]:
    """The names of the Secrets in `envFrom`, in order."""
    return [source.secret_ref.name for source in sources if source.secret_ref]


def list_env_sources(sources: Sequence[EnvFrom], config_maps: ConfigMaps) -> tuple[EnvSource, ...]:
    """`envFrom` for a worker; later entries have precedence.

    Empty if there are only Secrets: then `secret_names` is sufficient.
    """
    if not any(source.config_map_ref for source in sources):
        return ()
    return tuple(
        EnvSource(values=config_maps[source.config_map_ref.name])
        if source.config_map_ref
        else EnvSource(secret=source.secret_ref.name if source.secret_ref else None)
        for source in sources
    )


class Resources(Section):
    """Cores, bytes of memory and of /dev/shm, whole GPUs."""

    cpu: Cores | None = None
    memory: Annotated[Size, MinQuantity(MIN_MEMORY, "6Mi")] | None = None
    gpu: Count = 0
    shm: Size | None = None


class Security(Section):
    read_only_root: Flag = False
    egress: Egress = "internet"


def check_unique_variables(env: tuple[EnvVar, ...], *path: str | int) -> Iterator[Finding]:
    yield from check_unique_names([variable.name for variable in env], (*path, "env"))


def check_unique_names(names: list[str], path: Path, field: str | None = "name") -> Iterator[Finding]:
    """A finding for every repeated name in the list."""
    for index, name in enumerate(names):
        if name in names[:index]:
            where = (*path, index) if field is None else (*path, index, field)
            yield Finding(where, f'"{name}" is in this list twice; remove one')
