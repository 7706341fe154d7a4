"""What Prometheus is told."""

from __future__ import annotations

from tests.gateway.mesh import ALICE, Mesh

PREDICT = "/demo/digits/predict"


async def test_predictions_are_counted_by_component_and_status(mesh: Mesh) -> None:
    await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    await mesh.call("POST", PREDICT, data=b"{}", headers={"Authorization": "Basic bm9ib2R5Og=="})
    content: bytes = (await mesh.call("GET", "/metrics"))[2]
    said = dict(line.rsplit(" ", 1) for line in content.decode().splitlines() if not line.startswith("#"))
    of = 'app="demo",component="classifier"'
    assert said[f'mlmesh_predictions_total{{{of},status="200"}}'] == "2.0"
    assert said[f"mlmesh_prediction_seconds_count{{{of}}}"] == "2.0"
    assert said[f"mlmesh_predictions_under_way{{{of}}}"] == "0.0"
    assert said['mlmesh_gateway_requests_total{method="POST",status="401"}'] == "1.0"
