"""Numbers of this gateway, in a registry of its own: several services can live in one process.

A call counts in plain numbers; Prometheus' own, which are slower, learn of them when somebody asks.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from services.gateway.routing.route_table import Table

SEVERAL = "PROMETHEUS_MULTIPROC_DIR"
"""Set where several processes share the numbers: whichever is asked answers for all."""
SHARE_S = 0.5
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
OF = ("app", "component")


class Spread(Histogram):
    """A histogram that takes many values at once."""

    def add(self, tally: Tally) -> None:
        for bucket, count in zip(self._buckets, tally.counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(tally.total)


class Tally:
    """Values that a histogram does not know yet."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.clear()

    def add(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def clear(self) -> None:
        self.counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0


class Predicted:
    """The numbers of one component."""

    def __init__(self) -> None:
        self.under_way = 0
        self.statuses: Count[int] = Count()
        self.seconds = Tally(SECONDS)
        self.queued = 0.0
        self.batches = Tally(SIZES)
        self.cold = 0

    def begin(self) -> None:
        self.under_way += 1

    def end(self, status: int, seconds: float, queued: float = 0.0, batch: int = 0) -> None:
        """Status 0: the caller hung up before there was one."""
        self.under_way -= 1
        self.statuses[status] += 1
        self.seconds.add(seconds)
        self.queued += queued
        if batch:
            self.batches.add(batch)


class Metrics:
    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "mlmesh_gateway_requests", "Requests by method and status", ["method", "status"], registry=registry
        )
        self._seconds = Spread("mlmesh_gateway_request_seconds", "Time to answer", buckets=SECONDS, registry=registry)
        self._predictions = Counter(
            "mlmesh_predictions", "Predictions by component and status", [*OF, "status"], registry=registry
        )
        self._prediction_seconds = Spread(
            "mlmesh_prediction_seconds", "Time to answer a prediction", OF, buckets=SECONDS, registry=registry
        )
        self._queued = Counter(
            "mlmesh_prediction_queue_seconds", "Time that predictions waited for their turn", OF, registry=registry
        )
        self._batch = Spread(
            "mlmesh_batch_size", "Calls in the batch of a prediction", OF, buckets=SIZES, registry=registry
        )
        self._under_way = Gauge(
            "mlmesh_predictions_under_way", "Predictions that wait or run", OF, registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._cold = Counter("mlmesh_cold_starts", "Predictions that waited for an instance", OF, registry=registry)
        self._instances = Gauge(
            "mlmesh_instances", "Instances that take calls", OF, registry=registry, multiprocess_mode="mostrecent"
        )
        self._requested: Count[tuple[str, int]] = Count()
        self._took = Tally(SECONDS)
        self._predicted: dict[tuple[str, str], Predicted] = {}

    def count(self, method: str, status: int, seconds: float) -> None:
        """Status 0: the caller hung up before there was one."""
        self._requested[method, status] += 1
        self._took.add(seconds)

    def of(self, app: str, component: str) -> Predicted:
        found = self._predicted.get((app, component))
        if found is None:
            found = self._predicted[app, component] = Predicted()
        return found

    def text(self, table: Table) -> bytes:
        """In Prometheus' format."""
        self._show(table)
        if SEVERAL not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    async def share(self) -> None:
        """For ever, where there are several processes: what the others may be asked for."""
        while SEVERAL in os.environ:
            await asyncio.sleep(SHARE_S)
            self._flush()

    def _show(self, table: Table) -> None:
        self._flush()
        if SEVERAL not in os.environ:  # there Prometheus' client cannot forget
            self._instances.clear()
        for app in table.apps.values():
            for component in app.components.values():
                self._instances.labels(app.ns, component.name).set(len(component.endpoints))

    def _flush(self) -> None:
        for (method, status), count in self._requested.items():
            self._requests.labels(method, str(status)).inc(count)
        self._requested.clear()
        self._seconds.add(self._took)
        self._took.clear()
        for of, predicted in self._predicted.items():
            self._flush_one(of, predicted)

    def _flush_one(self, of: tuple[str, str], predicted: Predicted) -> None:
        self._under_way.labels(*of).set(predicted.under_way)
        if not predicted.statuses and not predicted.cold:
            return
        for status, count in predicted.statuses.items():
            self._predictions.labels(*of, str(status)).inc(count)
        self._prediction_seconds.labels(*of).add(predicted.seconds)
        self._queued.labels(*of).inc(predicted.queued)
        self._batch.labels(*of).add(predicted.batches)
        self._cold.labels(*of).inc(predicted.cold)
        predicted.statuses.clear()
        predicted.seconds.clear()
        predicted.batches.clear()
        predicted.queued, predicted.cold = 0.0, 0
