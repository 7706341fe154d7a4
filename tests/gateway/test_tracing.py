"""Spans of a call, as a collector gets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.component import serving as component
from tests.gateway.fake_server import Asked, Reply, StandIn, serving
from tests.gateway.mesh import ALICE, document, published, ready, services

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@dataclass
class Collector(StandIn):
    spans: dict[str, Span] = field(default_factory=dict)

    async def decide(self, asked: Asked) -> Reply:
        told = ExportTraceServiceRequest.FromString(asked.body)
        for resource in told.resource_spans:
            service = resource.resource.attributes[0].value.string_value
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans.update({names.get("service.name", service): span for span in scope.spans})
        return Reply(pieces=[b""])


async def test_a_call_is_a_span_of_the_gateway_and_one_of_the_component(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(Collector()) as collector, services(tmp_path) as mesh:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        async with mesh.gateway():
            await ready(mesh)
            async with component.serving("echo", component="classifier", token="token") as served:
                found = document(served.port)
                found["components"]["classifier"]["endpoints"][0]["token"] = "token"
                await published(mesh, found)
                headers = {**ALICE, "traceparent": f"00-{TRACE}-{CALLER}-01"}
                status, _, _ = await mesh.call("POST", "/demo/digits/predict", data=b'{"inputs":[]}', headers=headers)
            assert status == 200
        ours, theirs = collector.spans["mlmesh-gateway"], collector.spans["classifier"]
        assert ours.trace_id.hex() == theirs.trace_id.hex() == TRACE
        assert theirs.parent_span_id == ours.span_id
