"""What a worker is told to run as one attempt of a stage."""

from __future__ import annotations

from typing import Literal

from libs.common.protocol.container import ContainerFields
from libs.common.protocol.message import LocationField, Message

CachePolicy = Literal["off", "read", "refresh"]


class StageInput(Message):
    """A variable that the stage reads: a file, a folder, or a value that the worker writes into a file."""

    name: str
    kind: Literal["file", "folder", "value"]
    source: LocationField | None = None
    """Of a file or folder."""
    value: object = None
    suffix: Literal[".json", ".txt"] = ".json"
    """Of the file that a value is written to."""


class StageOutput(Message):
    """A variable that the stage writes."""

    name: str
    target: LocationField
    """A folder that belongs to this attempt alone."""


class PredictionCall(Message):
    """A prediction as a run: the input `request` is posted to the API at `path`, in the name of the caller."""

    path: str
    timeout: float
    """Seconds that the component may take."""
    grant: str
    """Lets the worker call as the caller (`X-Mlmesh-Grant`)."""


class StageSpec(ContainerFields):
    """One attempt of a stage."""

    timeout: float
    """Seconds that it may run."""
    run: str
    pipeline: str
    stage: str
    entry_point: tuple[str, ...] | None = None
    """None: the image's own."""
    inputs: tuple[StageInput, ...] = ()
    outputs: tuple[StageOutput, ...] = ()
    cache: CachePolicy = "off"
    call: PredictionCall | None = None
