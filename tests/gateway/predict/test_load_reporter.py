"""Load reports: when a gateway sends them, their JSON, and what the scheduler takes of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from libs.common.protocol.load_report import ComponentLoad, LoadReport
from services.gateway.internal_client import InternalService
from services.gateway.predict.load_reporter import REPORT_INTERVAL_S, LoadReporter, build_report
from services.gateway.routing.route_table import Component

GOLDEN = Path(__file__).parents[2] / "common" / "protocol" / "golden" / "load_report.json"


def test_a_report_is_that_of_the_release_before() -> None:
    report = build_report("g:1:2", {("leaf", "classifier"): 2.5})
    assert report.to_json() == json.loads(GOLDEN.read_text())


def test_a_load_that_breaks_a_bound_costs_only_itself() -> None:
    loads = {("leaf", "c" * 129): 1.0, ("leaf", "classifier"): 2.5, ("leaf", "digits"): float("inf")}
    taken = LoadReport.model_validate(build_report("g", loads).to_json()).loads
    assert taken == (ComponentLoad(app="leaf", component="classifier", load=2.5),)


@dataclass
class Scheduler:
    loads: list[float] = field(default_factory=list)

    async def request_json(self, method: str, path: str, body: Any, timeout: float) -> None:
        self.loads.extend(load["load"] for load in body["loads"])


@pytest.mark.virtual_time
async def test_the_load_is_told_while_there_are_calls_and_no_longer() -> None:
    scheduler, component = Scheduler(), Component("classifier", 30.0, 1, (), ())
    reporter = LoadReporter(cast(InternalService, scheduler))
    reporting = asyncio.create_task(reporter.run())
    for _ in range(5):
        reporter.start_call("demo", component)
    await asyncio.sleep(REPORT_INTERVAL_S / 2)
    for _ in range(5):
        reporter.end_call("demo", component)
    await asyncio.sleep(REPORT_INTERVAL_S * 10)
    reporting.cancel()
    assert scheduler.loads == [2.5]
