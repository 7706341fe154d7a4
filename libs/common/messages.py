"""Messages between services. They carry ids only: a lost message delays work, a duplicate is harmless.

The tag (`task.ready.v1`) begins the routing key. A compatible change is an optional field; any other is a new `.v2`.
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
    """A task is ready for a worker of this resource class."""

    tag: ClassVar[str] = "task.ready.v1"
    task: str
    resource_class: str = "cpu"

    @property
    def key(self) -> str:
        return f"{self.tag}.{self.resource_class}"


class RevisionReady(Message):
    """A validated revision is ready for its rollout."""

    tag: ClassVar[str] = "revision.ready.v1"
    app: str
    deployment: str


class AccessChanged(Message):
    """An app's users, keys or secret values changed."""

    tag: ClassVar[str] = "access.changed.v1"
    app: str


class FileChanged(Message):
    """A file of a box was created or deleted."""

    tag: ClassVar[str] = "file.changed.v1"
    app: str
    box: str


MESSAGE_TYPES: dict[str, type[Message]] = {
    kind.tag: kind for kind in (TaskReady, RevisionReady, AccessChanged, FileChanged)
}


def encode_message(message: Message) -> bytes:
    return message.model_dump_json().encode()


def decode_message(key: str, body: bytes) -> Message:
    """Raises Malformed for a key of an unknown type, or a body that does not match the type."""
    kind = next((kind for tag, kind in MESSAGE_TYPES.items() if key == tag or key.startswith(f"{tag}.")), None)
    if kind is None:
        raise Malformed(f"no message type for {key!r}")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise Malformed(f"{key}: {error.error_count()} invalid fields") from error
