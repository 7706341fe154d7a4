"""Documents of the Docker Engine API, with the fields that this worker writes or reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Required, TypedDict


class VolumeOptions(TypedDict):
    NoCopy: bool


class MountConfig(TypedDict, total=False):
    Type: Required[Literal["bind", "volume"]]
    Source: Required[str]
    Target: Required[str]
    ReadOnly: bool
    VolumeOptions: VolumeOptions


class RestartPolicy(TypedDict):
    Name: Literal["no"]


class LogConfig(TypedDict, total=False):
    Type: Required[Literal["json-file", "none"]]
    Config: Mapping[str, str]


class DeviceRequest(TypedDict):
    Count: int
    Capabilities: Sequence[Sequence[str]]


class PortBinding(TypedDict):
    HostIp: str
    HostPort: str
    """Empty: the engine chooses one."""


class HostConfig(TypedDict, total=False):
    """What the engine does for a container: its isolation, limits, mounts and network."""

    Init: bool
    CapDrop: Sequence[str]
    CapAdd: Sequence[str]
    SecurityOpt: Sequence[str]
    ReadonlyRootfs: bool
    RestartPolicy: RestartPolicy
    LogConfig: LogConfig
    PidsLimit: int
    NanoCpus: int
    Memory: int
    MemorySwap: int
    """Memory and swap together."""
    ShmSize: int
    DeviceRequests: Sequence[DeviceRequest]
    Mounts: Sequence[MountConfig]
    Tmpfs: Mapping[str, str]
    NetworkMode: str
    PortBindings: Mapping[str, Sequence[PortBinding]]


class ContainerConfig(TypedDict, total=False):
    """The body of `POST /containers/create`."""

    Image: Required[str]
    User: str
    Entrypoint: Sequence[str]
    Cmd: Sequence[str]
    Env: Sequence[str]
    Labels: Mapping[str, str]
    ExposedPorts: Mapping[str, Mapping[str, str]]
    HostConfig: Required[HostConfig]


class ContainerState(TypedDict):
    Status: str
    Running: bool
    ExitCode: int
    OOMKilled: bool


class EndpointSettings(TypedDict):
    IPAddress: str


class NetworkSettings(TypedDict):
    Ports: Mapping[str, Sequence[PortBinding] | None] | None
    Networks: Mapping[str, EndpointSettings]


class HostLimits(TypedDict):
    Memory: int


class ContainerDetails(TypedDict):
    """The response of `GET /containers/{id}/json`."""

    Image: str
    State: ContainerState
    HostConfig: HostLimits
    NetworkSettings: NetworkSettings


class ListedPort(TypedDict, total=False):
    PublicPort: int
    """Missing where a port is not published."""


class ListedMount(TypedDict, total=False):
    Source: str
    Destination: Required[str]


class ListedContainer(TypedDict):
    """An entry of the response of `GET /containers/json`."""

    Id: str
    ImageID: str
    Labels: Mapping[str, str]
    NetworkSettings: NetworkSettings
    Ports: Sequence[ListedPort]
    Mounts: Sequence[ListedMount]


class Ipam(TypedDict):
    Config: Sequence[Mapping[str, str]]


class NetworkDetails(TypedDict):
    """A network, as it is listed and inspected."""

    Id: str
    Name: str
    Labels: Mapping[str, str]
    IPAM: Ipam


class ImageDetails(TypedDict):
    """The response of `GET /images/{name}/json`."""

    Id: str
    RepoDigests: Sequence[str] | None
    """`repository@sha256:…` for each image registry that it was pulled from or pushed to."""


class PullProgress(TypedDict, total=False):
    current: int
    total: int


class PushResult(TypedDict, total=False):
    Digest: str


class PullEvent(TypedDict, total=False):
    """One line of the response of `POST /images/create` or `…/push`."""

    id: str
    status: str
    error: str
    progressDetail: PullProgress
    aux: PushResult
    """The result of a push."""
