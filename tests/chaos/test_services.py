"""A service is killed in the middle of a run, and started again: the run finishes, each stage once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos.runs import Traced
from tests.e2e.application import Application
from tests.e2e.processes import Processes

LEASE_S = 4.0


@pytest.mark.parametrize("service", ["gateway", "scheduler", "registry", "databox"])
def test_a_service_that_is_killed_in_the_middle_of_a_run_costs_nothing(
    deployment: Processes, app: Application, tmp_path: Path, service: str
) -> None:
    run = Traced(app, tmp_path / "trace", one=2.0, two=0.5)
    run.reaches("one")
    deployment.restart(service)
    ended = run.ended()
    assert (ended["status"], run.executed()) == ("succeeded", ["one", "two"]), ended
    assert app.eventually("predictions go on", lambda: app.shout().status == 200)


def test_a_scheduler_that_was_away_for_longer_than_a_lease_takes_nothing_back(
    deployment: Processes, app: Application, tmp_path: Path
) -> None:
    run = Traced(app, tmp_path / "trace", one=LEASE_S + 6.0)
    run.reaches("one")
    deployment.kill("scheduler")
    time.sleep(LEASE_S + 1.0)
    deployment.begin("scheduler")
    ended = run.ended()
    assert (ended["status"], run.executed()) == ("succeeded", ["one", "two"]), ended


def test_all_services_at_once_are_killed_in_the_middle_of_a_run(
    deployment: Processes, app: Application, tmp_path: Path
) -> None:
    run = Traced(app, tmp_path / "trace", one=3.0)
    run.reaches("one")
    for name in ("gateway", "scheduler", "registry", "databox", "worker"):
        deployment.kill(name)
    for name in ("databox", "registry", "scheduler", "worker", "gateway"):
        deployment.begin(name)
    ended = run.ended()
    assert (ended["status"], run.executed()) == ("succeeded", ["one", "two"]), ended
    assert app.eventually("predictions go on", lambda: app.shout().status == 200)
