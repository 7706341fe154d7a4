"""OpenTelemetry spans of calls, if the module has the SDK installed and an endpoint is set."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..function.predictor import Result
from ..problems import Problem

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Tracing:
    """Raises `ImportError` if the SDK or its exporter is not installed."""

    def __init__(self, component: str) -> None:
        trace = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        self._api: Any = importlib.import_module("opentelemetry.trace")
        name = os.environ.get("OTEL_SERVICE_NAME", component)
        self._provider: Any = trace.TracerProvider(resource=resources.Resource.create({"service.name": name}))
        self._provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
        self._tracer: Any = self._provider.get_tracer("mlmesh.component")
        self._format: Any = propagation.TraceContextTextMapPropagator()

    def start_span(self, name: str, traceparent: str | None) -> tuple[Any, str]:
        """Start the span of a call; also returns the `traceparent` for requests that the function sends."""
        parent = self._format.extract({"traceparent": traceparent or ""})
        span = self._tracer.start_span(name, context=parent, kind=self._api.SpanKind.SERVER)
        carrier: dict[str, str] = {}
        self._format.inject(carrier, self._api.set_span_in_context(span))
        return span, carrier["traceparent"]

    def end_span(self, span: Any, result: Result) -> None:
        if isinstance(result, Problem):
            span.set_attribute("http.response.status_code", result.status)
            if result.status >= 500:
                span.set_status(self._api.StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Export the remaining spans."""
        self._provider.shutdown()


def create_tracing(component: str) -> Tracing | None:
    if not os.environ.get(ENDPOINT_VARIABLE):
        return None
    try:
        return Tracing(component)
    except ImportError:
        return None
