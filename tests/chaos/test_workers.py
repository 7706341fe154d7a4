"""A worker goes away in the middle of a stage: the stage is finished, its outputs appear once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.runs import Traced
from tests.e2e.application import Application
from tests.e2e.processes import Processes


@pytest.fixture
def worker(deployment: Processes, app: Application) -> str:
    """The only one, whatever an earlier test left."""
    deployment.lose_host()
    deployment.begin("worker")
    deployment.ready("worker")
    return "worker"


def test_a_restarted_worker_adopts_the_stage_that_went_on(
    deployment: Processes, app: Application, worker: str, tmp_path: Path
) -> None:
    run = Traced(app, tmp_path / "trace", one=3.0)
    run.reaches("one")
    deployment.restart(worker)
    ended = run.ended()
    assert (ended["status"], run.executed()) == ("succeeded", ["one", "two"]), ended
    assert len(run.marks()) == 2


def test_the_stage_of_a_lost_host_runs_again_on_another(
    deployment: Processes, app: Application, worker: str, tmp_path: Path
) -> None:
    run = Traced(app, tmp_path / "trace", one=2.0)
    run.reaches("one")
    deployment.lose_host()
    deployment.begin("second", "worker")
    ended = run.ended()
    assert (ended["status"], run.executed()) == ("succeeded", ["one", "one", "two"]), ended
    assert [stage["attempt"] for stage in ended["stages"]] == [2, 1]
    assert len(run.marks()) == 2
    assert app.eventually("the component is started elsewhere", lambda: app.shout().status == 200)


def test_a_worker_that_was_frozen_beyond_its_lease_publishes_nothing(
    deployment: Processes, app: Application, worker: str, tmp_path: Path
) -> None:
    run = Traced(app, tmp_path / "trace", one=2.0)
    run.reaches("one")
    deployment.signal(worker, signal.SIGSTOP)
    deployment.begin("second", "worker")
    run.reaches("one", times=2)
    deployment.signal(worker, signal.SIGCONT)
    ended = run.ended()
    assert (ended["status"], run.executed()) == ("succeeded", ["one", "one", "two"]), ended
    assert len(run.marks()) == 2
