"""A location: a file or folder of an app, independent of its key in the store."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class Location(BaseModel):
    """In a box (`box`, `user`, `group`) or in the app's internal area (`area`); a folder when `file` is missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: str | None = None
    user: str | None = None
    group: str | None = None
    area: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _check_one_parent(self) -> Self:
        in_box = self.box is not None and self.user is not None and self.group is not None
        any_box = self.box is not None or self.user is not None or self.group is not None
        if (in_box and self.area is None) or (self.area is not None and not any_box):
            return self
        raise ValueError("a location has either box, user and group, or area")

    def to_json(self) -> dict[str, str]:
        return self.model_dump(exclude_none=True)

    def __str__(self) -> str:
        """As people write it: `<box>/<group>/<file>`."""
        folder = self.area if self.area is not None else f"{self.box}/{self.group}"
        return f"{folder}/{self.file or ''}"
