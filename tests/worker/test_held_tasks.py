"""The status of a held task: what a heartbeat says of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from libs.common.protocol.heartbeat import Heartbeat, InstanceEndpoint
from services.worker.held_tasks import HeldTask
from tests.worker.specs import make_instance_spec, make_lease

ENDPOINT = InstanceEndpoint(host="127.0.0.1", port=8002)
OPENAPI: dict[str, object] = {"openapi": "3.1.0"}


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def held_task(changes: list[str]) -> HeldTask:
    return HeldTask(make_lease(make_instance_spec()), lambda lease: changes.append(lease.task))


def read_status(held_task: HeldTask) -> dict[str, Any]:
    status: dict[str, Any] = orjson.loads(orjson.dumps(held_task.dump_status()))
    return status


def test_a_status_is_what_was_set(held_task: HeldTask) -> None:
    assert read_status(held_task) == {"task": "t", "token": 1, "state": "staging"}
    held_task.update_status(state="running", detail="loading", progress=(1, 3))
    running = {"task": "t", "token": 1, "state": "running", "detail": "loading", "progress": [1, 3]}
    assert read_status(held_task) == running
    held_task.update_status(detail=None)
    assert read_status(held_task) == {**running, "detail": None}


def test_only_a_change_wakes_the_heartbeat_and_is_serialized(held_task: HeldTask, changes: list[str]) -> None:
    held_task.update_status(state="healthy", endpoint=ENDPOINT, openapi=OPENAPI)
    first = held_task.dump_status()
    held_task.update_status(state="healthy", detail=None)
    assert held_task.dump_status() is first
    assert changes == ["t"]
    held_task.update_status(state="unhealthy")
    assert held_task.dump_status() is not first
    assert changes == ["t", "t"]


def test_an_openapi_document_is_sent_until_the_scheduler_has_it(held_task: HeldTask) -> None:
    held_task.update_status(state="healthy", endpoint=ENDPOINT, openapi=OPENAPI)
    sent = held_task.status
    assert [read_status(held_task)["openapi"] for _ in range(2)] == [OPENAPI, OPENAPI]
    held_task.mark_reported(sent)
    assert read_status(held_task)["openapi"] is None
    held_task.update_status(openapi={"openapi": "3.0.0"})
    held_task.mark_reported(sent)
    assert read_status(held_task)["openapi"] == {"openapi": "3.0.0"}


@pytest.mark.parametrize(
    ("change", "missing"),
    [({"detail": "half a character: \ud800"}, "detail"), ({"openapi": {"id": 1 << 64}}, "openapi")],
)
def test_a_field_that_is_not_json_is_left_out(held_task: HeldTask, change: Any, missing: str) -> None:
    held_task.update_status(state="healthy", endpoint=ENDPOINT, detail="fine", openapi=OPENAPI)
    held_task.update_status(**change)
    status = read_status(held_task)
    assert (missing in status, status["state"], status["endpoint"]) == (False, "healthy", ENDPOINT.model_dump())


def test_the_scheduler_drops_what_breaks_a_bound_and_renews_the_lease(held_task: HeldTask) -> None:
    held_task.update_status(state="healthy", endpoint=InstanceEndpoint.model_construct(host="h" * 300, port=8002))
    (status,) = Heartbeat.model_validate({"have": [read_status(held_task)]}).tasks
    assert (status.task, status.state, status.endpoint) == ("t", "healthy", None)
