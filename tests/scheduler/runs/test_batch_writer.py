"""The door for new runs: many at once, some with the same key, some too many; and a database that goes away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from libs.common.bus.memory import MemoryBus
from libs.common.db import Database
from libs.common.errors import Invalid, TooManyRequests, Unavailable
from services.scheduler.db import idempotency, metadata, runs
from services.scheduler.model.run import Run
from services.scheduler.runs.batch_writer import RunBatchWriter
from services.scheduler.runs.new_runs import SubmittedRun
from services.scheduler.runs.submission_admission import SubmitRequest
from services.scheduler.tasks.ready_publisher import ReadyPublisher
from tests.scheduler.plans.test_planner import make_run

PLAN = make_run({"inputs": {"raw": "in/a.csv"}}).plan


def submit_request(number: int, key: str | None = None, body: str = "b", app: str = "leaf") -> SubmitRequest:
    run = Run(id=f"r_{number}", app=app, pipeline="train", user="u", status="queued", plan=PLAN, created_at=0.0)
    return SubmitRequest(run, "train", key, body)


def new_writer(database: Database, limit: int) -> RunBatchWriter:
    return RunBatchWriter(database, limit, ReadyPublisher(MemoryBus(), lambda: None))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url)
    await found.create_all(metadata)
    yield found
    await found.close()


async def list_run_ids(database: Database, app: str = "leaf") -> set[str]:
    async with database.read() as conn:
        return {run.id for run in await runs.list_open_runs(conn, app)}


async def test_many_at_once_are_all_there_before_they_are_answered(database: Database) -> None:
    dispatches = []
    writer = RunBatchWriter(database, 1000, ReadyPublisher(MemoryBus(), lambda: dispatches.append(1)))

    async def submit_one(number: int) -> None:
        submitted = await writer.submit(submit_request(number))
        assert (submitted.run.id, [task.state for task in submitted.stages]) == (f"r_{number}", ["ready", "waiting"])
        assert submitted.run.created_at > 0
        async with database.read() as conn:
            assert await runs.get(conn, "leaf", submitted.run.id) is not None

    await asyncio.gather(*(submit_one(number) for number in range(300)))
    assert len(await list_run_ids(database)) == 300
    assert 0 < len(dispatches) < 300, "they went together"


async def test_nobody_is_left_at_the_door(database: Database) -> None:
    """Each comes back at once, so that some come just when a transaction has ended and nobody else waits."""
    writer = new_writer(database, 10_000)

    async def submit_many(number: int) -> None:
        for turn in range(30):
            await writer.submit(submit_request(1000 * number + turn))

    async with asyncio.timeout(30):
        await asyncio.gather(*(submit_many(number) for number in range(3)))
    assert len(await list_run_ids(database)) == 90


async def test_of_requests_with_one_key_there_is_one_run(database: Database) -> None:
    writers = [new_writer(database, 1000) for _ in range(2)]  # two schedulers
    submissions = await asyncio.gather(*(writers[n % 2].submit(submit_request(n, key=f"k{n % 3}")) for n in range(30)))
    assert len({submitted.run.id for submitted in submissions}) == 3
    assert await list_run_ids(database) == {submitted.run.id for submitted in submissions}
    assert (await writers[0].submit(submit_request(99, key="k0"))).run.id == submissions[0].run.id
    with pytest.raises(Invalid, match="was used with another body"):
        await writers[0].submit(submit_request(100, key="k0", body="other"))


async def test_more_than_may_wait_are_refused_and_their_keys_stay_free(database: Database) -> None:
    writer = new_writer(database, 5)
    submissions = (writer.submit(submit_request(n, key=f"k{n}")) for n in range(20))
    outcomes = await asyncio.gather(*submissions, writer.submit(submit_request(50, app="oak")), return_exceptions=True)
    assert Counter(type(outcome) for outcome in outcomes) == {SubmittedRun: 6, TooManyRequests: 15}
    assert (len(await list_run_ids(database)), await list_run_ids(database, "oak")) == (5, {"r_50"})
    larger_writer = new_writer(database, 100)
    retries = await asyncio.gather(*(larger_writer.submit(submit_request(200 + n, key=f"k{n}")) for n in range(20)))
    assert Counter(submitted.run.id.startswith("r_2") and len(submitted.run.id) == 5 for submitted in retries) == {
        True: 15,
        False: 5,
    }


async def test_never_more_wait_than_may_and_the_place_of_one_that_began_is_taken_again(database: Database) -> None:
    writer = new_writer(database, 50)

    async def submit_until_full(number: int) -> list[str]:
        """One after another, until there is no room."""
        submitted: list[str] = []
        with suppress(TooManyRequests):
            while True:
                submitted.append((await writer.submit(submit_request(1000 * number + len(submitted)))).run.id)
        return submitted

    submitted = [
        run_id
        for run_ids in await asyncio.gather(*(submit_until_full(number) for number in range(1, 9)))
        for run_id in run_ids
    ]
    assert (len(submitted), set(submitted)) == (50, await list_run_ids(database))
    async with database.write() as conn:
        run = await runs.get(conn, "leaf", submitted[0])
        assert run is not None
        await runs.update_run(conn, run, {"status": "running"})
    assert (await writer.submit(submit_request(1))).run.id == "r_1"
    with pytest.raises(TooManyRequests):
        await writer.submit(submit_request(2))


async def test_a_key_is_forgotten_after_a_day(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = new_writer(database, 5)
    await writer.submit(submit_request(1, key="k"))
    assert (await writer.submit(submit_request(2, key="k"))).run.id == "r_1"
    monkeypatch.setattr(idempotency, "IDEMPOTENCY_TTL_S", -1.0)
    assert (await writer.submit(submit_request(3, key="k", body="other"))).run.id == "r_3"


async def test_a_failure_reaches_everybody_who_waits_and_the_door_stays_open(database: Database) -> None:
    writer = new_writer(database, 1000)
    await writer.submit(submit_request(7))
    requests = [
        submit_request(7),
        *(submit_request(n) for n in range(20, 30)),
    ]  # an id that is there already: no caller can bring it about
    outcomes = await asyncio.gather(*(writer.submit(one) for one in requests), return_exceptions=True)
    assert {one.run.id for one in outcomes if isinstance(one, SubmittedRun)} | {"r_7"} == await list_run_ids(database)
    assert sum(isinstance(one, Exception) for one in outcomes) > 1
    assert (await writer.submit(submit_request(9))).run.id == "r_9"
    unreachable = new_writer(Database("postgresql+asyncpg://nobody@127.0.0.1:9/none"), 10)
    with pytest.raises(Unavailable):
        await unreachable.submit(submit_request(10))
