"""What a worker is told to build as the image of components and stages."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from libs.common.protocol.container import Egress
from libs.common.protocol.message import Message


class BuildSpec(Message):
    """An image that is built from a folder of a commit. The worker reports it as that of an `ImageSpec`."""

    key: str
    """Equal keys stand for equal images: a hash of the folder's content and of all other fields that matter."""
    title: str
    """The component or stage that wants it, and `(and n more)`."""
    commit: str
    context: str = "."
    """The folder in the repository."""
    dockerfile: str | None = None
    """Its path in the folder; None: `Dockerfile`, which the worker writes if there is none."""
    base: str
    """The image that a written Dockerfile begins with; `{python}` stands for the version of Python."""
    packages: tuple[str, ...] = ()
    """Debian packages of a written Dockerfile."""
    args: Mapping[str, str] = Field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    """Secrets whose keys are files of the build."""
    timeout: float = 1800.0
    """Seconds."""
    network: Egress = "internet"
    repository: str | None = None
    """Where the image is pushed to in an image registry; None: it stays on the worker's engine."""
    log: str = ""
    """The name under which databox keeps the log."""
