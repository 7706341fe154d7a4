"""What stages and instances have in common: an image, its environment and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from libs.common.protocol.message import Message

Egress = Literal["internet", "none"]


class ContainerResources(Message):
    """Limits of a container; None: the worker's default."""

    cpu: float | None = None
    """Cores."""
    memory: int | None = None
    """Bytes."""
    gpu: int = 0
    """Whole GPUs."""
    shm: int | None = None
    """Bytes of /dev/shm."""


class EnvSource(Message):
    """One entry of `envFrom`: the keys of a Secret, or the values of a ConfigMap. Later entries win."""

    secret: str | None = None
    values: Mapping[str, str] | None = None


class ContainerFields(Message):
    """Fields of a stage's and of an instance's specification."""

    image: str | None
    """None: a manifest without one, which only the process runtime can run."""
    env: Mapping[str, str] = Field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    """Secrets whose keys become environment variables."""
    env_from: tuple[EnvSource, ...] = ()
    """All of `envFrom` in its order; set only where a ConfigMap is among it, and then instead of `secrets`."""
    resources: ContainerResources = ContainerResources()
    read_only_root: bool = False
    egress: Egress = "internet"
    image_credentials: str | None = None
    """The Secret with which the image is pulled."""
    timeout: float = 30.0
    """Seconds that a stage may run, or that a call of a component may take."""
    log: str = ""
    """The name under which databox keeps the log."""
