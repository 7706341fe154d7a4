"""Numbers of this gateway, in a registry of its own: several services can live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "mlmesh_gateway_requests", "Requests by method and status", ["method", "status"], registry=self.registry
        )
        self._seconds = Histogram("mlmesh_gateway_request_seconds", "Time to answer", registry=self.registry)

    def count(self, method: str, status: int, seconds: float) -> None:
        """Status 0: the caller hung up before there was one."""
        self._requests.labels(method, str(status)).inc()
        self._seconds.observe(seconds)
