"""Spans of a call, as a collector receives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.component import serving as component
from tests.gateway.fake_server import FakeServer, ReceivedRequest, Reply, serve
from tests.gateway.mesh import ALICE, app_document, publish_app, run_services, wait_until_ready

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@dataclass
class Collector(FakeServer):
    spans: dict[str, Span] = field(default_factory=dict)

    async def build_reply(self, request: ReceivedRequest) -> Reply:
        export = ExportTraceServiceRequest.FromString(request.body)
        for resource in export.resource_spans:
            service = resource.resource.attributes[0].value.string_value
            names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans.update({names.get("service.name", service): span for span in scope.spans})
        return Reply(pieces=[b""])


async def test_a_call_is_a_span_of_the_gateway_and_one_of_the_component(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(Collector()) as collector, run_services(tmp_path) as mesh:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        async with mesh.gateway():
            await wait_until_ready(mesh)
            async with component.serving("echo", component="classifier", token="token") as served:
                app = app_document(served.port)
                app["components"]["classifier"]["endpoints"][0]["token"] = "token"
                await publish_app(mesh, app)
                headers = {**ALICE, "traceparent": f"00-{TRACE}-{CALLER}-01"}
                status, _, _ = await mesh.call("POST", "/demo/digits/predict", data=b'{"inputs":[]}', headers=headers)
            assert status == 200
        gateway_span, component_span = collector.spans["mlmesh-gateway"], collector.spans["classifier"]
        assert gateway_span.trace_id.hex() == component_span.trace_id.hex() == TRACE
        assert component_span.parent_span_id == gateway_span.span_id
