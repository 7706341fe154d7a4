"""Calls of a component that sleeps wait until it has an instance."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from libs.common.errors import NotFound, TimedOut, TooManyRequests
from services.gateway.balance import QUEUE
from services.gateway.demand import Demand, Name
from services.gateway.request import Body, Gone
from services.gateway.table import Component
from services.gateway.watch import Watch


class Cold:
    def __init__(self, watch: Watch, demand: Demand) -> None:
        self._watch = watch
        self._demand = demand
        self._held: Counter[Name] = Counter()

    async def awake(self, ns: str, component: Component, body: Body, patience: float) -> Component:
        """The component with an instance, or as it is when waiting makes no sense any more.

        `patience`: seconds that the caller will wait. Raises TooManyRequests when as many wait as may, TimedOut, and
        Gone when the caller hung up.
        """
        if component.wakes_within is None:
            return component  # nearly all calls
        name = (ns, component.name)
        if self._held[name] >= QUEUE * component.concurrency:
            raise TooManyRequests(f"{component.name} has too many calls waiting", retry_after=1.0)
        self._held[name] += 1
        try:
            async with asyncio.timeout(min(patience, component.wakes_within)):
                self._demand.urgent(ns, component)
                while component.wakes_within is not None:
                    await self._news(body)
                    component = self._known(ns, component.name)
        except TimeoutError:
            if patience < (component.wakes_within or 0.0):
                raise TimedOut(f"{component.name} had no instance within {patience:g} s") from None
        finally:
            self._held[name] -= 1
        return component

    async def _news(self, body: Body) -> None:
        """Returns when the table changed. Raises Gone; a caller whose body is still to come is not watched."""
        waiting: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._watch.change.wait())}
        if body.finished:
            waiting.add(asyncio.ensure_future(body.hung_up()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)
        if body.gone:
            raise Gone

    def _known(self, ns: str, name: str) -> Component:
        app = self._watch.table.apps.get(ns)
        component = app.components.get(name) if app else None
        if component is None:
            raise NotFound()
        return component
