"""What all messages between services have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from libs.common.locations import Location


class Message(BaseModel):
    """A frozen value that crosses a service boundary as JSON. Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def to_json(self) -> dict[str, Any]:
        """The fields that were set: a default is not written, and means the same to its reader."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


LocationField = Annotated[Location, PlainSerializer(Location.to_json)]
"""A location without the parts that it does not have."""
TaskId = Annotated[str, Field(max_length=64)]
FencingToken = Annotated[int, Field(ge=0, lt=1 << 63)]
