"""Numbers of this gateway, in a registry of its own: several services can live in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from libs.common.errors import MeshError
from services.gateway.answer import Answer

SEVERAL = "PROMETHEUS_MULTIPROC_DIR"
"""Set where several processes share the numbers: whichever is asked answers for all."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Stopwatch:
    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


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
        self._cold = Counter("mlmesh_cold_starts", "Predictions that waited for an instance", of, registry=registry)

    def count(self, method: str, status: int, seconds: float) -> None:
        """Status 0: the caller hung up before there was one."""
        self._requests.labels(method, str(status)).inc()
        self._seconds.observe(seconds)

    @contextmanager
    def prediction(self, app: str, component: str, answer: Answer) -> Iterator[Stopwatch]:
        """One prediction, from its admission to its end."""
        under_way, watch, refused = self._under_way.labels(app, component), Stopwatch(), 0
        under_way.inc()
        try:
            yield watch
        except MeshError as error:
            refused = error.status
            raise
        finally:
            under_way.dec()
            self._predictions.labels(app, component, str(answer.status or refused)).inc()
            self._prediction_seconds.labels(app, component).observe(watch.seconds)

    def cold(self, app: str, component: str) -> None:
        self._cold.labels(app, component).inc()

    def text(self) -> bytes:
        """In Prometheus' format."""
        if SEVERAL not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
