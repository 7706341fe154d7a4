"""Load reports: the JSON that a gateway sends, and what the scheduler takes of it."""

from __future__ import annotations

import json
from pathlib import Path

from libs.common.protocol.load_report import ComponentLoad, LoadReport
from services.gateway.predict.load_reporter import build_report

GOLDEN = Path(__file__).parents[2] / "common" / "protocol" / "golden" / "load_report.json"


def test_a_report_is_that_of_the_release_before() -> None:
    report = build_report("g:1:2", {("leaf", "classifier"): 2.5})
    assert report.to_json() == json.loads(GOLDEN.read_text())


def test_a_load_that_breaks_a_bound_costs_only_itself() -> None:
    loads = {("leaf", "c" * 129): 1.0, ("leaf", "classifier"): 2.5, ("leaf", "digits"): float("inf")}
    taken = LoadReport.model_validate(build_report("g", loads).to_json()).loads
    assert taken == (ComponentLoad(app="leaf", component="classifier", load=2.5),)
