"""Numbers of this gateway, in a registry of its own: several services can live in one process."""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from services.gateway.table import Table

SEVERAL = "PROMETHEUS_MULTIPROC_DIR"
"""Set where several processes share the numbers: whichever is asked answers for all."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Predicted:
    """The numbers of one component."""

    def __init__(
        self, under_way: Gauge, seconds: Histogram, queued: Counter, batch: Histogram, counter: Callable[[int], Counter]
    ) -> None:
        self._under_way = under_way
        self._seconds = seconds
        self._queued = queued
        self._batch = batch
        self._counter = counter
        self._counters: dict[int, Counter] = {}

    def begin(self) -> None:
        self._under_way.inc()

    def end(self, status: int, seconds: float, queued: float = 0.0, batch: int = 0) -> None:
        """Status 0: the caller hung up before there was one."""
        self._under_way.dec()
        if queued:
            self._queued.inc(queued)
        if batch:
            self._batch.observe(batch)
        counter = self._counters.get(status)
        if counter is None:
            counter = self._counters[status] = self._counter(status)
        counter.inc()
        self._seconds.observe(seconds)


class Metrics:
    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "mlmesh_gateway_requests", "Requests by method and status", ["method", "status"], registry=registry
        )
        self._seconds = Histogram("mlmesh_gateway_request_seconds", "Time to answer", registry=registry)
        of = ["app", "component"]
        self._predictions = Counter(
            "mlmesh_predictions", "Predictions by component and status", [*of, "status"], registry=registry
        )
        self._prediction_seconds = Histogram(
            "mlmesh_prediction_seconds", "Time to answer a prediction", of, buckets=SECONDS, registry=registry
        )
        self._under_way = Gauge(
            "mlmesh_predictions_under_way", "Predictions that wait or run", of, registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._queued = Counter(
            "mlmesh_prediction_queue_seconds", "Time that predictions waited for their turn", of, registry=registry
        )
        self._batch = Histogram(
            "mlmesh_batch_size", "Calls in the batch of a prediction", of, buckets=SIZES, registry=registry
        )
        self._instances = Gauge(
            "mlmesh_instances", "Instances that take calls", of, registry=registry, multiprocess_mode="mostrecent"
        )
        self._predicted: dict[tuple[str, str], Predicted] = {}
        self._counts: dict[tuple[str, int], Counter] = {}
        self._cold = Counter("mlmesh_cold_starts", "Predictions that waited for an instance", of, registry=registry)

    def count(self, method: str, status: int, seconds: float) -> None:
        """Status 0: the caller hung up before there was one."""
        counter = self._counts.get((method, status))
        if counter is None:
            counter = self._counts[method, status] = self._requests.labels(method, str(status))
        counter.inc()
        self._seconds.observe(seconds)

    def of(self, app: str, component: str) -> Predicted:
        found = self._predicted.get((app, component))
        if found is None:
            found = self._predicted[app, component] = Predicted(
                self._under_way.labels(app, component),
                self._prediction_seconds.labels(app, component),
                self._queued.labels(app, component),
                self._batch.labels(app, component),
                lambda status: self._predictions.labels(app, component, str(status)),
            )
        return found

    def cold(self, app: str, component: str) -> None:
        self._cold.labels(app, component).inc()

    def text(self, table: Table) -> bytes:
        """In Prometheus' format."""
        if SEVERAL not in os.environ:  # there Prometheus' client cannot forget
            self._instances.clear()
        for app in table.apps.values():
            for component in app.components.values():
                self._instances.labels(app.ns, component.name).set(len(component.endpoints))
        if SEVERAL not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
