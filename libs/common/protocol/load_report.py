"""How much each component that scales is called: `POST /internal/loads`."""

from __future__ import annotations

from pydantic import Field, FiniteFloat

from libs.common.http.tolerant_list import TolerantList
from libs.common.protocol.message import Message


class ComponentLoad(Message):
    """Calls of a component under way or waiting: a mean since the report before."""

    app: str
    component: str
    load: FiniteFloat = Field(ge=0)


class LoadReport(Message):
    """What one gateway has, every second while there are calls, at once when one finds no instance."""

    gateway: str
    loads: TolerantList[ComponentLoad] = ()
