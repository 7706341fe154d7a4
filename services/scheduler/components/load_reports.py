"""What gateways say of the calls they have, and the numbers of instances that follow from it."""

from __future__ import annotations

from pydantic import Field, FiniteFloat

from libs.common.db import clock
from libs.common.http.tolerant_list import Each
from libs.common.protocol.message import Message
from services.scheduler.components import autoscaler
from services.scheduler.db import autoscaling
from services.scheduler.dependencies import Parts

NAME = r"^[^\x00]{1,128}$"
FRESH_S = 3.0
"""How long a gateway's word counts. It speaks every second while there are calls."""


class Load(Message):
    app: str = Field(pattern=NAME)
    component: str = Field(pattern=NAME)
    load: FiniteFloat = Field(ge=0, description="calls under way or waiting, a mean since the last word")


class Loads(Message):
    gateway: str = Field(pattern=NAME)
    loads: Each[Load] = ()


async def heard(parts: Parts, said: Loads) -> None:
    async with parts.db.write() as c:
        each = [((one.app, one.component), one.load) for one in said.loads]
        await autoscaling.record_loads(c, said.gateway, each, await clock(c))
    parts.wakes.scale()


async def step(parts: Parts, *, steady: bool) -> set[str] | None:
    """Decide anew; the apps for which that makes a difference. None: no component scales."""
    async with parts.db.read() as c:
        now = await clock(c)
        present = await autoscaling.list_scaled_components(c)
        if not present:
            return None
        loads = await autoscaling.get_total_loads(c, now - FRESH_S)
    decided = {
        name: autoscaler.decide(scale, bounds, loads.get(name), now, steady=steady)
        for name, (bounds, scale) in present.items()
    }
    news = {name: scale for name, scale in decided.items() if scale != present[name][1]}
    if news:
        async with parts.db.write() as c:
            for name, scale in news.items():
                await autoscaling.update_scale(c, name, scale)
    return {name[0] for name, scale in news.items() if scale.replicas != present[name][1].replicas}
