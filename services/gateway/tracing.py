"""OpenTelemetry, for who wants it: a span for each request, told on to where it goes. Needs the extra `otel`.

The SDK's own variables say where spans go: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME` and their kin.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from libs.common.settings import BadSetting
from services.gateway.proxy.forwarded import Proxies
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import Answer

WANTED = "OTEL_EXPORTER_OTLP_ENDPOINT"
PARENT = b"traceparent"


class Tracing:
    """Raises BadSetting when the extra is not installed."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        try:
            trace = importlib.import_module("opentelemetry.sdk.trace")
            export = importlib.import_module("opentelemetry.sdk.trace.export")
            otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            resources = importlib.import_module("opentelemetry.sdk.resources")
        except ImportError as error:
            raise BadSetting(
                f"{WANTED} is set, but {error.name} is not installed: pip install 'mlmesh[otel]'"
            ) from error
        self._api: Any = importlib.import_module("opentelemetry.trace")
        propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        resource = resources.Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "mlmesh-gateway")})
        self._provider: Any = trace.TracerProvider(resource=resource)
        self._provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
        self._tracer: Any = self._provider.get_tracer("mlmesh.gateway")
        self._format: Any = propagation.TraceContextTextMapPropagator()

    def begin(self, request: Request) -> Any:
        """The request's span, which is the parent of what it causes from now on."""
        parent = self._format.extract({PARENT.decode(): request.by_name.get(PARENT, b"").decode("latin-1")})
        span = self._tracer.start_span(
            f"{request.method} {request.raw_path}",
            context=parent,
            kind=self._api.SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "url.path": request.raw_path,
                "client.address": self._proxies.caller(request),
                "mlmesh.request_id": request.id,
            },
        )
        carrier: dict[str, str] = {}
        self._format.inject(carrier, self._api.set_span_in_context(span))
        request.continue_trace(carrier[PARENT.decode()].encode())
        return span

    def end(self, span: Any, answer: Answer) -> None:
        span.set_attribute("http.response.status_code", answer.status)
        if answer.status >= 500:
            span.set_status(self._api.StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """What was not sent yet is sent."""
        self._provider.shutdown()


def tracing(proxies: Proxies) -> Tracing | None:
    return Tracing(proxies) if os.environ.get(WANTED) else None
