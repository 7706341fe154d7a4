"""The boxes of an app: scheduler declares them with `PUT …/boxes`, registry lists them with `GET …/boxes`."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from libs.common.http.tolerant_list import TolerantList
from libs.common.protocol.message import Message


class BoxCapacity(Message):
    """The most that a box may hold."""

    capacity: int = Field(ge=0, lt=1 << 63)
    """Bytes."""


class BoxDeclaration(Message):
    """All boxes of an app; databox detaches others and keeps their data."""

    boxes: Mapping[str, BoxCapacity]


class BoxStatus(Message):
    """A box and what it holds, in bytes."""

    name: str
    capacity: int
    used: int
    reserved: int
    detached: bool
    """No longer declared: kept, and closed to uploads."""


class BoxList(Message):
    """All boxes of an app by name."""

    items: TolerantList[BoxStatus] = ()
