"""What gateways know of all apps: `GET /internal/table`, long-polled.

Parts of an app's routes are dataclasses, which gateway keeps and reads in each call: they take half the time and the
memory of pydantic models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from libs.common.protocol.message import Message


@dataclass(frozen=True, slots=True)
class ApiAuth:
    """Which credentials an API accepts."""

    basic: str | None = None
    """The Secret with its users."""
    api_key: bool = False
    none: bool = False
    """Callers without credentials are anonymous."""

    @property
    def is_open(self) -> bool:
        """Accepts no credentials: all callers are anonymous."""
        return self.none and self.basic is None and not self.api_key


@dataclass(frozen=True, slots=True)
class InputType:
    """What an input may be."""

    datatypes: tuple[str, ...] = ()
    content_types: Annotated[tuple[str, ...], Field(alias="contentTypes")] = ()


@dataclass(frozen=True, slots=True)
class ApiInput:
    """A variable that a caller of a pipeline names."""

    name: str
    description: str = ""
    required: bool = True
    type: InputType = InputType()


@dataclass(frozen=True, slots=True)
class ApiOutput:
    """A variable that a pipeline publishes."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Api:
    """A published API."""

    target: str
    """`ml`, `pipeline`, `files` or `pipelines`."""
    path: str | None = None
    """None: files and pipelines, whose routes are the app's own."""
    name: str | None = None
    """The component or the pipeline."""
    title: str = ""
    auth: ApiAuth = ApiAuth()
    identity: bool = False
    """The component is told who calls."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may call; `*`: all."""
    inputs: tuple[ApiInput, ...] = ()
    outputs: tuple[ApiOutput, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An instance that takes calls."""

    id: str
    """Its task."""
    host: str
    port: int
    token: str = ""
    """The instance asks its callers for it. Scheduler does not store it, and writes it into each answer."""

    @model_serializer(mode="wrap")
    def _omit_missing_token(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        fields: dict[str, object] = write(self)
        return {name: value for name, value in fields.items() if name != "token" or value}


@dataclass(frozen=True, slots=True)
class BlockingReason:
    """Why no instance takes calls."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ComponentRoutes:
    """A component, with the instances that take calls."""

    timeout: float = 30.0
    """Seconds that a call may take."""
    concurrency: int = 1
    """Calls that one instance takes at a time."""
    own_routes: bool = False
    """A web application: every path and method is forwarded."""
    boxes: tuple[str, ...] = ()
    """Boxes that it may use in the name of its callers."""
    reason: BlockingReason | None = None
    """Set while it has no endpoint."""
    openapi: dict[str, object] | None = None
    """The description that its last healthy instance reported."""
    endpoints: tuple[Endpoint, ...] = ()
    scales: bool = False
    """Autoscaled: gateways report its load."""
    wakes_within: float | None = None
    """Seconds that a call may wait for an instance; None: it has one, or a start would fail."""


class AppRoutes(Message):
    """All routes of an app."""

    apis: tuple[Api, ...] = ()
    users: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Argon2id hashes of passwords by user, by Secret."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Users by the SHA-256 of their API key."""
    boxes: tuple[str, ...] = ()
    components: dict[str, ComponentRoutes] = Field(default_factory=dict)


class RouteTableChange(Message):
    """The apps that changed after the version that the gateway has."""

    version: int
    full: bool = False
    """All apps: the gateway named no version, or one that never was."""
    apps: dict[str, object] = Field(default_factory=dict)
    """The `AppRoutes` of each, or null: the app is gone. Of an app that a gateway cannot read, the last routes stay."""
