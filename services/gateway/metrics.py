"""Prometheus metrics of this gateway, in a registry of its own: several services can share a process.

Requests are counted in plain numbers, which are flushed to the slower Prometheus metrics when those are read.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from services.gateway.routing.route_table import RouteTable

MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that is set where several gateway processes share their metrics: each renders the sum of all."""
FLUSH_S = 0.5
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
COMPONENT_LABELS = ("app", "component")


class BulkHistogram(Histogram):
    """A histogram that takes many values in one call."""

    def add_buffer(self, buffer: HistogramBuffer) -> None:
        for bucket, count in zip(self._buckets, buffer.counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(buffer.total)


class HistogramBuffer:
    """Values not flushed to a histogram yet, counted by bucket."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.clear()

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def clear(self) -> None:
        self.counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0


class ComponentStats:
    """Predictions of one component since the last flush."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.statuses: Count[int] = Count()
        self.latencies = HistogramBuffer(LATENCY_BUCKETS)
        self.queue_seconds = 0.0
        self.batch_sizes = HistogramBuffer(BATCH_SIZE_BUCKETS)
        self.cold_starts = 0

    def start_call(self) -> None:
        self.in_flight += 1

    def end_call(self, status: int, seconds: float, queue_seconds: float = 0.0, batch_size: int = 0) -> None:
        """Status 0: the client disconnected before the response started."""
        self.in_flight -= 1
        self.statuses[status] += 1
        self.latencies.observe(seconds)
        self.queue_seconds += queue_seconds
        if batch_size:
            self.batch_sizes.observe(batch_size)


class Metrics:
    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "mlmesh_gateway_requests", "Requests by method and status", ["method", "status"], registry=registry
        )
        self._seconds = BulkHistogram(
            "mlmesh_gateway_request_seconds", "Time to answer", buckets=LATENCY_BUCKETS, registry=registry
        )
        self._predictions = Counter(
            "mlmesh_predictions",
            "Predictions by component and status",
            [*COMPONENT_LABELS, "status"],
            registry=registry,
        )
        self._prediction_seconds = BulkHistogram(
            "mlmesh_prediction_seconds",
            "Time to answer a prediction",
            COMPONENT_LABELS,
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._queued = Counter(
            "mlmesh_prediction_queue_seconds",
            "Time that predictions waited in the queues of instances",
            COMPONENT_LABELS,
            registry=registry,
        )
        self._batch = BulkHistogram(
            "mlmesh_batch_size",
            "Calls in the batch of a prediction",
            COMPONENT_LABELS,
            buckets=BATCH_SIZE_BUCKETS,
            registry=registry,
        )
        self._in_flight = Gauge(
            "mlmesh_predictions_under_way", "Predictions that wait or run", COMPONENT_LABELS, registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._cold = Counter(
            "mlmesh_cold_starts", "Predictions that waited for an instance", COMPONENT_LABELS, registry=registry
        )
        self._instances = Gauge(
            "mlmesh_instances",
            "Instances that receive calls",
            COMPONENT_LABELS,
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._request_counts: Count[tuple[str, int]] = Count()
        self._request_latencies = HistogramBuffer(LATENCY_BUCKETS)
        self._components: dict[tuple[str, str], ComponentStats] = {}

    def count_request(self, method: str, status: int, seconds: float) -> None:
        """Status 0: the client disconnected before the response started."""
        self._request_counts[method, status] += 1
        self._request_latencies.observe(seconds)

    def get_component(self, app: str, component: str) -> ComponentStats:
        stats = self._components.get((app, component))
        if stats is None:
            stats = self._components[app, component] = ComponentStats()
        return stats

    def render(self, table: RouteTable) -> bytes:
        """All metrics in the text format of Prometheus."""
        self._update_gauges(table)
        if MULTIPROC_DIR not in os.environ:
            return generate_latest(self._registry)
        combined = CollectorRegistry()
        MultiProcessCollector(combined)  # type: ignore[no-untyped-call]
        return generate_latest(combined)

    async def flush_periodically(self) -> None:
        """Flush for the other processes' `render`; returns at once where there is only one process."""
        while MULTIPROC_DIR in os.environ:
            await asyncio.sleep(FLUSH_S)
            self._flush_all()

    def _update_gauges(self, table: RouteTable) -> None:
        self._flush_all()
        if MULTIPROC_DIR not in os.environ:  # Prometheus' client cannot clear a gauge there
            self._instances.clear()
        for app in table.apps.values():
            for component in app.components.values():
                self._instances.labels(app.ns, component.name).set(len(component.endpoints))

    def _flush_all(self) -> None:
        for (method, status), count in self._request_counts.items():
            self._requests.labels(method, str(status)).inc(count)
        self._request_counts.clear()
        self._seconds.add_buffer(self._request_latencies)
        self._request_latencies.clear()
        for key, stats in self._components.items():
            self._flush_component(key, stats)

    def _flush_component(self, key: tuple[str, str], stats: ComponentStats) -> None:
        self._in_flight.labels(*key).set(stats.in_flight)
        if not stats.statuses and not stats.cold_starts:
            return
        for status, count in stats.statuses.items():
            self._predictions.labels(*key, str(status)).inc(count)
        self._prediction_seconds.labels(*key).add_buffer(stats.latencies)
        self._queued.labels(*key).inc(stats.queue_seconds)
        self._batch.labels(*key).add_buffer(stats.batch_sizes)
        self._cold.labels(*key).inc(stats.cold_starts)
        stats.statuses.clear()
        stats.latencies.clear()
        stats.batch_sizes.clear()
        stats.queue_seconds, stats.cold_starts = 0.0, 0
