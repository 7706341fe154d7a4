"""What a worker is told to keep running as an instance of a component."""

from __future__ import annotations

from collections.abc import Mapping

from libs.common.protocol.container import ContainerFields
from libs.common.protocol.message import LocationField, Message


class BatchLimits(Message):
    """Calls that a component takes together."""

    max_size: int
    max_delay_ms: float


class InstanceSpec(ContainerFields):
    """One instance of a component."""

    component: str
    inference: str | None = None
    """`module:function` of a function."""
    app: str | None = None
    """`module:variable` of a web application."""
    loader: str | None = None
    python: str | None = None
    """The interpreter in the image; None: `python3`."""
    port: int
    boxes: tuple[str, ...] = ()
    """Boxes that the component is connected to."""
    other_boxes: tuple[str, ...] = ()
    """The app's boxes that it is not connected to."""
    concurrency: int = 1
    """Calls at a time."""
    batching: BatchLimits | None = None
    warmup: tuple[Mapping[str, object], ...] = ()
    """Requests that the component answers before it is ready."""
    model: LocationField | None = None
    """The model's file or folder, which is downloaded before the start."""
    start_timeout: float = 120.0
    """Seconds until it must be ready."""
    commit: str = ""
    instance_token: str = ""
    """The gateway shows it with each call (`X-Mlmesh-Token`)."""
