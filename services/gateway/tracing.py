"""Optional OpenTelemetry tracing: a span for each request, propagated to the upstream. Needs the extra `otel`.

Configured by the SDK's own variables: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME` and others.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from libs.common.settings import BadSetting
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACEPARENT = b"traceparent"


class Tracing:
    """Raises BadSetting when the extra is not installed."""

    def __init__(self, trusted_proxies: TrustedProxies) -> None:
        self._trusted_proxies = trusted_proxies
        try:
            trace = importlib.import_module("opentelemetry.sdk.trace")
            export = importlib.import_module("opentelemetry.sdk.trace.export")
            otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            resources = importlib.import_module("opentelemetry.sdk.resources")
        except ImportError as error:
            raise BadSetting(
                f"{ENDPOINT_VARIABLE} is set, but {error.name} is not installed: pip install 'mlmesh[otel]'"
            ) from error
        self._api: Any = importlib.import_module("opentelemetry.trace")
        propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        resource = resources.Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "mlmesh-gateway")})
        self._provider: Any = trace.TracerProvider(resource=resource)
        self._provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
        self._tracer: Any = self._provider.get_tracer("mlmesh.gateway")
        self._format: Any = propagation.TraceContextTextMapPropagator()

    def start_span(self, request: Request) -> Any:
        """Start the span of a request, and make it the parent of the upstream's spans."""
        parent = self._format.extract({TRACEPARENT.decode(): request.by_name.get(TRACEPARENT, b"").decode("latin-1")})
        span = self._tracer.start_span(
            f"{request.method} {request.raw_path}",
            context=parent,
            kind=self._api.SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "url.path": request.raw_path,
                "client.address": self._trusted_proxies.get_client_address(request),
                "mlmesh.request_id": request.id,
            },
        )
        carrier: dict[str, str] = {}
        self._format.inject(carrier, self._api.set_span_in_context(span))
        request.set_traceparent(carrier[TRACEPARENT.decode()].encode())
        return span

    def end_span(self, span: Any, response: ResponseWriter) -> None:
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= 500:
            span.set_status(self._api.StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()


def create_tracing(trusted_proxies: TrustedProxies) -> Tracing | None:
    return Tracing(trusted_proxies) if os.environ.get(ENDPOINT_VARIABLE) else None
