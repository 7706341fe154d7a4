"""A prediction as a run: the worker posts the caller's request, and reports the response."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libs.common.locations import Location
from libs.common.protocol.stage import PredictionCall, StageInput
from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import list_task_folders, run_worker

CALL = PredictionCall(path="v1/digits", timeout=5.0, grant="v1.signed")
REQUEST = StageInput(name="request", kind="file", source=Location(area="runs/r/request", file="body.json"))
BODY = {"inputs": [{"name": "x", "data": 1}]}


@pytest.mark.parametrize(
    ("response", "outcome", "reason", "answer"),
    [
        ((200, {"outputs": [2]}), "succeeded", None, {"outputs": [2]}),
        (
            (422, {"detail": "x: too small", "errors": [{"field": "x"}], "trace": "internal"}),
            "failed",
            {"code": "error", "detail": "x: too small", "status": 422, "errors": [{"field": "x"}]},
            None,
        ),
        ((504, {"detail": "it took 5 s"}), "failed", {"code": "timeout", "detail": "it took 5 s"}, None),
    ],
    ids=["answered", "refused", "timed out"],
)
async def test_the_response_of_the_component_is_the_report(
    mesh: FakeMesh, tmp_path: Path, response: tuple[int, dict[str, Any]], outcome: str, reason: Any, answer: Any
) -> None:
    mesh.files["runs/r/request/body.json"] = json.dumps(BODY).encode()
    mesh.prediction_response = response
    mesh.add_stage("t1", "", call=CALL, inputs=[REQUEST], entry_point=None)
    async with run_worker(mesh, tmp_path, public_url=mesh.url):
        report = await mesh.wait_for_report()
    assert mesh.predictions == [("v1/digits", "v1.signed", BODY)]
    assert (report["outcome"], report["reason"], report["answer"]) == (outcome, reason, answer)
    assert list_task_folders(tmp_path) == []
