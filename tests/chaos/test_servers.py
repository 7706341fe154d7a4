"""The broker and the database go away and come back; nobody has to do anything."""

from __future__ import annotations

import time
from pathlib import Path

from tests.chaos.runs import Traced
from tests.e2e.application import Application
from tests.e2e.processes import Processes
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ

OUTAGE_S = 30.0
SUBMISSION_INTERVAL_S = 2.0
LEASE_S = 4.0
"""An outage that is longer ends no lease."""


def test_runs_submitted_while_the_broker_is_away_all_finish_and_none_twice(
    app: Application, broker_server: RabbitMQ, tmp_path: Path
) -> None:
    runs = [Traced(app, tmp_path / "before", one=1.0)]
    runs[0].reaches("one")
    broker_server.stop()
    back = time.monotonic() + OUTAGE_S
    while time.monotonic() < back:
        runs.append(Traced(app, tmp_path / f"during-{len(runs)}"))
        time.sleep(SUBMISSION_INTERVAL_S)
    broker_server.start()
    runs.append(Traced(app, tmp_path / "after"))
    assert [run.ended()["status"] for run in runs] == ["succeeded"] * len(runs)
    assert [run.executed() for run in runs] == [["one", "two"]] * len(runs)


def test_without_the_database_predictions_go_on_and_the_rest_says_when_to_ask_again(
    app: Application, database_server: Postgres, tmp_path: Path
) -> None:
    run = Traced(app, tmp_path / "trace", one=LEASE_S + 4.0)
    run.reaches("one")
    database_server.stop()
    back = time.monotonic() + LEASE_S + 2.0
    refused = [app.submit(), app.call("GET", run.place.removeprefix(f"/{app.name}")), app.call("GET", "/runs")]
    assert [(answer.status, "Retry-After" in answer.headers) for answer in refused] == [(503, True)] * 3
    assert [answer.json()["status"] for answer in refused] == [503] * 3
    assert [app.shout().status for _ in range(20)] == [200] * 20
    time.sleep(max(0.0, back - time.monotonic()))
    database_server.start()
    ended = run.ended()
    assert (ended["status"], run.executed()) == ("succeeded", ["one", "two"]), ended
    assert app.ended(app.submit().headers["Location"])["status"] == "succeeded"


def test_a_service_that_starts_while_the_database_is_away_waits_for_it(
    deployment: Processes, app: Application, database_server: Postgres
) -> None:
    deployment.end("scheduler")
    database_server.stop()
    deployment.begin("scheduler")
    app.eventually("it says so", lambda: "Waiting for the database" in (deployment.log / "scheduler").read_text())
    database_server.start()
    deployment.ready("scheduler")
    assert app.ended(app.submit().headers["Location"])["status"] == "succeeded"
