"""How much each component that scales is called: `POST /internal/loads`."""

from __future__ import annotations

from pydantic import Field, FiniteFloat

from libs.common.http.tolerant_list import TolerantList
from libs.common.protocol.message import Message

NAME_PATTERN = r"^[^\x00]{1,128}$"


class ComponentLoad(Message):
    """Calls of a component under way or waiting: a mean since the report before."""

    app: str = Field(pattern=NAME_PATTERN)
    component: str = Field(pattern=NAME_PATTERN)
    load: FiniteFloat = Field(ge=0)


class LoadReport(Message):
    """What one gateway has, every second while there are calls, at once when one finds no instance."""

    gateway: str = Field(pattern=NAME_PATTERN)
    loads: TolerantList[ComponentLoad] = ()
