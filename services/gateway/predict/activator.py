"""Calls of a component that sleeps wait until it has an instance."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from libs.common.errors import NotFound, TimedOut, TooManyRequests
from services.gateway.predict.load_balancer import QUEUE, Caller, Held, in_queue, release
from services.gateway.predict.load_reporter import Demand, Name
from services.gateway.proxy.request import Body, Gone
from services.gateway.routing.route_table import Component
from services.gateway.routing.table_watcher import Watch


class Cold:
    def __init__(self, watch: Watch, demand: Demand) -> None:
        self._watch = watch
        self._demand = demand
        self._waiting: Counter[Name] = Counter()
        self._held: Held = Counter()

    async def awake(self, caller: Caller, component: Component, body: Body, patience: float) -> Component:
        """The component with an instance, or as it is when waiting makes no sense any more.

        `patience`: seconds that the caller will wait. Raises TooManyRequests when as many wait as may, or nearly all of
        them are this caller's; TimedOut; and Gone when the caller hung up.
        """
        if component.wakes_within is None:
            return component  # nearly all calls
        with self._place(caller, component):
            return await self._wait(caller[0], component, body, patience)

    @contextmanager
    def _place(self, caller: Caller, component: Component) -> Iterator[None]:
        name, own = (caller[0], component.name), (caller, component.name)
        if in_queue(QUEUE * component.concurrency).is_used_up(self._waiting[name], self._held[own]):
            raise TooManyRequests(f"{component.name} has too many calls waiting", retry_after=1.0)
        self._waiting[name] += 1
        self._held[own] += 1
        try:
            yield
        finally:
            release(self._waiting, name)
            release(self._held, own)

    async def _wait(self, ns: str, component: Component, body: Body, patience: float) -> Component:
        within = component.wakes_within or 0.0
        try:
            async with asyncio.timeout(min(patience, within)):
                self._demand.urgent(ns, component)
                while component.wakes_within is not None:
                    await self._news(body)
                    component = self._known(ns, component.name)
        except TimeoutError:
            if patience < within:
                raise TimedOut(f"{component.name} had no instance within {patience:g} s") from None
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
