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
from services.scheduler.runs.writer import RunWriter, SubmitRequest, SubmittedRun
from services.scheduler.tasks.dispatcher import TaskDispatcher
from tests.scheduler.test_run_plans import make_run

PLAN = make_run({"inputs": {"raw": "in/a.csv"}}).plan


def asked(number: int, key: str | None = None, body: str = "b", app: str = "leaf") -> SubmitRequest:
    run = Run(id=f"r_{number}", app=app, pipeline="train", user="u", status="queued", plan=PLAN, created_at=0.0)
    return SubmitRequest(run, "train", key, body)


def a_door(database: Database, limit: int) -> RunWriter:
    return RunWriter(database, limit, TaskDispatcher(MemoryBus(), lambda: None))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url)
    await found.create_all(metadata)
    yield found
    await found.close()


async def listed(database: Database, app: str = "leaf") -> set[str]:
    async with database.read() as c:
        return {run.id for run in await runs.list_open_runs(c, app)}


async def test_many_at_once_are_all_there_before_they_are_answered(database: Database) -> None:
    rung = []
    door = RunWriter(database, 1000, TaskDispatcher(MemoryBus(), lambda: rung.append(1)))

    async def one(number: int) -> None:
        made = await door.submit(asked(number))
        assert (made.run.id, [task.state for task in made.stages]) == (f"r_{number}", ["ready", "waiting"])
        assert made.run.created_at > 0
        async with database.read() as c:
            assert await runs.get(c, "leaf", made.run.id) is not None

    await asyncio.gather(*(one(number) for number in range(300)))
    assert len(await listed(database)) == 300
    assert 0 < len(rung) < 300, "they went together"


async def test_nobody_is_left_at_the_door(database: Database) -> None:
    """Each comes back at once, so that some come just when a transaction has ended and nobody else waits."""
    door = a_door(database, 10_000)

    async def one(number: int) -> None:
        for turn in range(30):
            await door.submit(asked(1000 * number + turn))

    async with asyncio.timeout(30):
        await asyncio.gather(*(one(number) for number in range(3)))
    assert len(await listed(database)) == 90


async def test_of_requests_with_one_key_there_is_one_run(database: Database) -> None:
    doors = [a_door(database, 1000) for _ in range(2)]  # two schedulers
    made = await asyncio.gather(*(doors[n % 2].submit(asked(n, key=f"k{n % 3}")) for n in range(30)))
    assert len({one.run.id for one in made}) == 3
    assert await listed(database) == {one.run.id for one in made}
    assert (await doors[0].submit(asked(99, key="k0"))).run.id == made[0].run.id
    with pytest.raises(Invalid, match="was used with another body"):
        await doors[0].submit(asked(100, key="k0", body="other"))


async def test_more_than_may_wait_are_refused_and_their_keys_stay_free(database: Database) -> None:
    door = a_door(database, 5)
    many = (door.submit(asked(n, key=f"k{n}")) for n in range(20))
    found = await asyncio.gather(*many, door.submit(asked(50, app="oak")), return_exceptions=True)
    assert Counter(type(one) for one in found) == {SubmittedRun: 6, TooManyRequests: 15}
    assert (len(await listed(database)), await listed(database, "oak")) == (5, {"r_50"})
    wide = a_door(database, 100)
    again = await asyncio.gather(*(wide.submit(asked(200 + n, key=f"k{n}")) for n in range(20)))
    assert Counter(one.run.id.startswith("r_2") and len(one.run.id) == 5 for one in again) == {True: 15, False: 5}


async def test_never_more_wait_than_may_and_the_place_of_one_that_began_is_taken_again(database: Database) -> None:
    door = a_door(database, 50)

    async def one(number: int) -> list[str]:
        """One after another, until there is no room."""
        made: list[str] = []
        with suppress(TooManyRequests):
            while True:
                made.append((await door.submit(asked(1000 * number + len(made)))).run.id)
        return made

    made = [name for some in await asyncio.gather(*(one(number) for number in range(1, 9))) for name in some]
    assert (len(made), set(made)) == (50, await listed(database))
    async with database.write() as c:
        run = await runs.get(c, "leaf", made[0])
        assert run is not None
        await runs.update_run(c, run, {"status": "running"})
    assert (await door.submit(asked(1))).run.id == "r_1"
    with pytest.raises(TooManyRequests):
        await door.submit(asked(2))


async def test_a_key_is_forgotten_after_a_day(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    door = a_door(database, 5)
    await door.submit(asked(1, key="k"))
    assert (await door.submit(asked(2, key="k"))).run.id == "r_1"
    monkeypatch.setattr(idempotency, "IDEMPOTENCY_TTL_S", -1.0)
    assert (await door.submit(asked(3, key="k", body="other"))).run.id == "r_3"


async def test_a_failure_reaches_everybody_who_waits_and_the_door_stays_open(database: Database) -> None:
    door = a_door(database, 1000)
    await door.submit(asked(7))
    many = [asked(7), *(asked(n) for n in range(20, 30))]  # an id that is there already: no caller can bring it about
    found = await asyncio.gather(*(door.submit(one) for one in many), return_exceptions=True)
    assert {one.run.id for one in found if isinstance(one, SubmittedRun)} | {"r_7"} == await listed(database)
    assert sum(isinstance(one, Exception) for one in found) > 1
    assert (await door.submit(asked(9))).run.id == "r_9"
    away = a_door(Database("postgresql+asyncpg://nobody@127.0.0.1:9/none"), 10)
    with pytest.raises(Unavailable):
        await away.submit(asked(10))
