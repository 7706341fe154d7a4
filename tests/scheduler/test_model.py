"""Documents in JSON columns: the same bytes as the release before stored, which may run beside this one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from libs.common.db import Database
from libs.common.manifests import schedule as manifest_schedule
from services.scheduler.db import metadata, runs, tables, tasks
from services.scheduler.db.task_rows import new_task_row
from services.scheduler.model.reason import Reason
from services.scheduler.model.run_plan import parse_run_plan
from services.scheduler.model.schedule import ScheduleSpec
from services.scheduler.model.task import ReusedAttempt, Task
from services.scheduler.plans.planner import build_stage_tasks
from tests.scheduler.manifests import MANIFESTS
from tests.scheduler.model.documents import (
    DOCUMENTS,
    first_of_chain,
    instances,
    prediction_plan,
    run_with_values,
    second_of_chain,
)
from tests.scheduler.scenarios.test_config_maps import BOTH, manifests

GOLDEN = Path(__file__).parent / "model" / "golden"


def to_text(document: Any) -> str:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode() + "\n"


def test_every_stored_document_has_a_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(DOCUMENTS)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_stored_as_before(name: str) -> None:
    assert to_text(DOCUMENTS[name]()) == (GOLDEN / f"{name}.json").read_text()


@pytest.mark.parametrize("name", [name for name in sorted(DOCUMENTS) if name.startswith("plan_")])
def test_a_plan_of_the_release_before_is_read(name: str) -> None:
    stored = (GOLDEN / f"{name}.json").read_text()
    assert to_text(parse_run_plan(orjson.loads(stored)).to_json()) == stored


@pytest.mark.parametrize("name", [name for name in sorted(DOCUMENTS) if name.startswith("reason_")])
def test_a_reason_of_the_release_before_is_read(name: str) -> None:
    stored = (GOLDEN / f"{name}.json").read_text()
    assert to_text(Reason.from_json(orjson.loads(stored)).to_json()) == stored


def test_a_plan_is_read_as_it_was_written() -> None:
    for plan in (run_with_values().plan, first_of_chain().plan, second_of_chain().plan, prediction_plan()):
        assert parse_run_plan(orjson.loads(to_text(plan.to_json()))) == plan


def test_a_plan_of_version_0_1_is_read() -> None:
    """It has no cache, and its stages have fewer fields."""
    document = orjson.loads((GOLDEN / "plan_values.json").read_text())
    newer = ("cache", "egress", "read_only_root", "image_credentials", "env_from")
    stages = [{name: value for name, value in stage.items() if name not in newer} for stage in document["stages"]]
    plan = parse_run_plan({**{name: document[name] for name in document if name != "cache"}, "stages": stages})
    assert (plan.cache, plan.stages[0].cache, plan.stages[0].egress) == ("off", False, "internet")


def test_a_field_of_a_later_release_is_ignored() -> None:
    document = orjson.loads((GOLDEN / "plan_values.json").read_text())
    later = {**document, "of_a_later_release": 1, "stages": [{**stage, "later": 1} for stage in document["stages"]]}
    assert parse_run_plan(later) == run_with_values().plan


async def test_an_instance_of_the_release_before_is_read_and_changed(database_url: str) -> None:
    """Its specification has a token and is to be replaced; a later release may have added a field."""
    spec = orjson.loads((GOLDEN / "instance_with_model.json").read_text())
    stored = {**spec, "instance_token": "given", "anew": True, "later": 1}
    task = Task(id="i_1", kind="instance", app="leaf", name="digits", state="claimed", created_at=1.0)
    database = Database(database_url)
    await database.create_all(metadata)
    async with database.write() as conn:
        await tasks.add(conn, [task])
        endpoint = {"host": "10.0.0.1", "port": 80}
        result: dict[str, Any] = {"outputs": {}, "usage": {}, "answer": None}
        values = {"spec": stored, "endpoint": endpoint, "result": {**result, "reused": {"run": "r", "user": "u",
                  "stage": "s", "token": 2}}}  # fmt: skip
        await conn.execute(update(tables.tasks).values(values))
        (read,) = await tasks.list_instances(conn, "leaf")
        assert read.instance_spec is not None
        assert (read.instance_spec.instance_token, read.instance_spec.restart_requested, str(read.model)) == (
            "given",
            True,
            "data/weights/model.joblib",
        )
        assert (read.endpoint and read.endpoint.port, read.result and read.result.reused) == (
            80,
            ReusedAttempt("r", "s", 2, "u"),
        )
        await tasks.update_task(conn, "i_1", {"spec": read.spec, "endpoint": read.endpoint, "result": read.result})
        row = (await conn.execute(select(tables.tasks))).mappings().one()
        assert dict(row["spec"]) == {**spec, "instance_token": "given", "anew": True}
        assert (row["endpoint"], row["result"]) == (endpoint, values["result"])
    await database.close()


async def test_a_run_and_its_stages_are_stored_as_before(database_url: str) -> None:
    run = run_with_values()
    database = Database(database_url)
    await database.create_all(metadata)
    async with database.write() as conn:
        await runs.add(conn, [replace(run, deadline=2.0)], [new_task_row(t, None) for t in build_stage_tasks(run)])
        rows = (await conn.execute(select(tables.tasks.c.spec))).all()
        assert [row.spec for row in rows] == [{}, {}]
        assert (await conn.execute(select(tables.runs.c.plan))).scalar_one() == orjson.loads(
            (GOLDEN / "plan_values.json").read_text()
        )
        read, task = await runs.get(conn, "leaf", "r_1"), await tasks.get(conn, "t_1_0")
        assert read is not None
        assert task is not None
        assert (read.plan, task.spec) == (run.plan, None)
        why = Reason("error", "boom", {"exit_code": 3})
        await tasks.update_task(conn, task.id, {"state": "failed", "reason": why})
        updated = await runs.update_run(conn, read, {"status": "failed", "reason": why})
        for table in (tables.tasks, tables.runs):
            stored = (await conn.execute(select(table.c.reason).where(table.c.id.in_(["t_1_0", "r_1"])))).scalar_one()
            assert stored == {"code": "error", "detail": "boom", "exit_code": 3}
        assert (updated, (await tasks.list_by_names(conn, "r_1", ["prepare"]))[0].reason) == (
            await runs.get(conn, "leaf", "r_1"),
            why,
        )
    await database.close()


def test_a_schedule_is_stored_as_its_manifest_says() -> None:
    manifest = manifest_schedule.Schedule(
        cron="0 6 * * *", timezone="Europe/Berlin", inputs={"raw": "in/a.csv"}, concurrency_policy="Forbid"
    )
    stored = manifest.model_dump(mode="json", by_alias=True)
    assert ScheduleSpec.from_json(stored).to_json() == stored


def test_the_fingerprint_of_an_instance_stays() -> None:
    """Another one would replace every instance at the first start of this release."""
    assert instances(MANIFESTS)["digits"].fingerprint == "ee3b629a471fa4b5"
    assert instances(manifests(BOTH))["echo"].fingerprint == "90c717c2a85a2b99"
