"""How an attempt ended: `POST /internal/tasks/{task}/report` and `…/reuse`."""

from __future__ import annotations

from typing import Required, TypedDict

from pydantic import AliasChoices, Field, FiniteFloat

from libs.common.http.tolerant_list import StorableObject, TolerantList
from libs.common.protocol.claim import MAX_ENGINE
from libs.common.protocol.message import Message

MAX_IMAGE = 600
"""Characters of an exact image: a name and a digest."""


class FailureDetails(TypedDict, total=False):
    """What else is known of a failure."""

    exit_code: int | None
    signal: int
    oom: bool
    """The container exceeded its memory limit."""
    status: int
    """The HTTP status of a prediction."""
    error: object
    errors: object
    error_id: object
    """What the component says of a prediction that it refused."""


class FailureReason(FailureDetails):
    """Why an attempt did not succeed."""

    code: str
    """A word that programs can compare."""
    detail: str
    """A sentence for people."""


class OutputSummary(TypedDict):
    """What a stage wrote to one output."""

    files: int
    bytes: int
    sha256: str
    """Of the names and contents."""


class ResourceUsage(TypedDict, total=False):
    """What an attempt took."""

    duration: Required[float]
    """Seconds."""
    peak_memory: int | None
    """Bytes."""
    cpu_seconds: float | None


class TaskReport(Message):
    """A worker's word on an attempt; sent until it is answered with 200, or 409 when the lease is over."""

    worker: str
    token: int
    outcome: str = Field(pattern=r"^[a-z_]{1,16}$")
    """succeeded, failed, canceled, stopped, returned (handed back unharmed, not counted as an attempt) or lost (the
    engine took it away). A value that the scheduler does not know is a failure."""
    reason: StorableObject | None = None
    """A `FailureReason`, of what did not succeed."""
    outputs: StorableObject | None = None
    """An `OutputSummary` by variable."""
    log_tail: TolerantList[str] = ()
    """The last lines, at most 20."""
    usage: StorableObject | None = None
    """A `ResourceUsage`."""
    progress: tuple[FiniteFloat, FiniteFloat] | None = None
    answer: StorableObject | None = None
    """The component's response, of a prediction."""
    image: str | None = Field(default=None, max_length=MAX_IMAGE)
    """The exact image, of a task of kind `image` or `build`: `name@sha256:…`, or its id where no registry has it."""
    engine: str | None = Field(default=None, max_length=MAX_ENGINE)
    """The Docker Engine that has the image, of a task of kind `build`; None: an image registry has it."""
    cache_key: str | None = Field(
        default=None,
        max_length=64,
        validation_alias=AliasChoices("cache_key", "content"),
        serialization_alias="content",
    )
    """The stage's cache key, if its outputs may be used again."""


class ReportResponse(Message):
    """The report was taken."""

    accepted: bool


class ReuseQuery(Message):
    """Asks, before a stage runs, whether an earlier one with the same cache key has succeeded."""

    worker: str
    token: int
    cache_key: str = Field(
        max_length=64, validation_alias=AliasChoices("cache_key", "content"), serialization_alias="content"
    )


class ReuseResponse(Message):
    """True: the stage has succeeded with the earlier outputs, and its lease is over."""

    reused: bool
