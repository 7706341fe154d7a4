"""Holds calls of a component that is scaled to zero until an instance is ready (Knative: activator)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from libs.common.errors import NotFound, TimedOut, TooManyRequests
from services.gateway.predict.load_balancer import (
    MAX_QUEUED_PER_SLOT,
    Caller,
    InFlightCounts,
    build_queue_limit,
    decrement,
)
from services.gateway.predict.load_reporter import ComponentKey, LoadReporter
from services.gateway.proxy.body import Body, ClientDisconnected
from services.gateway.routing.route_table import Component
from services.gateway.routing.table_watcher import TableWatcher


class Activator:
    def __init__(self, watcher: TableWatcher, load_reporter: LoadReporter) -> None:
        self._watcher = watcher
        self._load_reporter = load_reporter
        self._pending: Counter[ComponentKey] = Counter()
        self._pending_by_caller: InFlightCounts = Counter()

    async def wait_until_ready(
        self, caller: Caller, component: Component, body: Body, client_timeout: float
    ) -> Component:
        """The component with an instance, or unchanged when the cold start took too long or failed.

        Raises TooManyRequests when the queue is full, for the component or for this caller; TimedOut after
        `client_timeout` seconds; ClientDisconnected.
        """
        if component.cold_start_timeout is None:
            return component  # the common case
        with self._count_pending(caller, component):
            return await self._wait_for_instance(caller[0], component, body, client_timeout)

    @contextmanager
    def _count_pending(self, caller: Caller, component: Component) -> Iterator[None]:
        key, caller_key = (caller[0], component.name), (caller, component.name)
        if build_queue_limit(MAX_QUEUED_PER_SLOT * component.concurrency).is_reached(
            self._pending[key], self._pending_by_caller[caller_key]
        ):
            raise TooManyRequests(f"{component.name} has too many calls waiting", retry_after=1.0)
        self._pending[key] += 1
        self._pending_by_caller[caller_key] += 1
        try:
            yield
        finally:
            decrement(self._pending, key)
            decrement(self._pending_by_caller, caller_key)

    async def _wait_for_instance(self, ns: str, component: Component, body: Body, client_timeout: float) -> Component:
        cold_start_timeout = component.cold_start_timeout or 0.0
        try:
            async with asyncio.timeout(min(client_timeout, cold_start_timeout)):
                self._load_reporter.report_now(ns, component)
                while component.cold_start_timeout is not None:
                    await self._wait_for_table_change(body)
                    component = self._get_component(ns, component.name)
        except TimeoutError:
            if client_timeout < cold_start_timeout:
                detail = f"No instance of {component.name} became ready within {client_timeout:g} s"
                raise TimedOut(detail) from None
        return component

    async def _wait_for_table_change(self, body: Body) -> None:
        """Raises ClientDisconnected; that is noticed only after the whole body was read."""
        futures: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._watcher.change_event.wait())}
        if body.finished:
            futures.add(asyncio.ensure_future(body.wait_for_disconnect()))
        try:
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in futures:
                future.cancel()
            await asyncio.wait(futures)
        if body.disconnected:
            raise ClientDisconnected

    def _get_component(self, ns: str, name: str) -> Component:
        app = self._watcher.table.apps.get(ns)
        component = app.components.get(name) if app else None
        if component is None:
            raise NotFound()
        return component
