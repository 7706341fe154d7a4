"""Typed messages: doorbells between services. Ids only; losing one delays, a second one is harmless.

The tag (`task.ready.v1`) starts the routing key. A compatible change is an optional field; else a new `.v2`.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from libs.common.errors import Malformed


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    tag: ClassVar[str]

    @property
    def key(self) -> str:
        """The routing key."""
        return self.tag


class TaskReady(Message):
    """A task waits for a worker of this resource class."""

    tag: ClassVar[str] = "task.ready.v1"
    task: str
    resource_class: str = "cpu"

    @property
    def key(self) -> str:
        return f"{self.tag}.{self.resource_class}"


class RevisionReady(Message):
    """A validated revision waits to be rolled out."""

    tag: ClassVar[str] = "revision.ready.v1"
    app: str
    deployment: str


class AccessChanged(Message):
    """An app's users, keys or secret values changed."""

    tag: ClassVar[str] = "access.changed.v1"
    app: str


class FileChanged(Message):
    """A file appeared in, or left, a box."""

    tag: ClassVar[str] = "file.changed.v1"
    app: str
    box: str


MESSAGE_TYPES: dict[str, type[Message]] = {
    kind.tag: kind for kind in (TaskReady, RevisionReady, AccessChanged, FileChanged)
}


def encode_message(message: Message) -> bytes:
    return message.model_dump_json().encode()


def decode_message(key: str, body: bytes) -> Message:
    """Raises Malformed when the key is of no known type or the body does not fit it."""
    kind = next((found for tag, found in MESSAGE_TYPES.items() if key == tag or key.startswith(f"{tag}.")), None)
    if kind is None:
        raise Malformed(f"no message type for {key!r}")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise Malformed(f"{key}: {error.error_count()} fields do not fit") from error
