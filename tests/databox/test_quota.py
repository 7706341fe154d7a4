"""Capacity: what is refused, exactly, and what is free again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.common.settings import Settings
from services.databox.files.quota import Count, Use
from tests.databox.conftest import Answer, Databox, started


def figures(answer: Answer) -> tuple[int, int, int, int]:
    return answer.status, answer.body["used"], answer.body["reserved"], answer.body["capacity"]


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("age", "took", "links_bypass", "good"),
    [
        (0.0, 0.01, False, True),
        (29.0, 0.01, False, True),
        (31.0, 0.01, False, False),
        (0.0, 0.01, True, False),
        (0.9, 0.06, True, True),
        (1.3, 0.06, True, False),
        (31.0, 60.0, True, False),
    ],
)
def test_a_count_is_good_for_a_share_of_what_it_cost(age: float, took: float, links_bypass: bool, good: bool) -> None:
    now = 100.0 + age
    assert Count(changes=1, used=0, began=100.0, took=took).good(now, now + 1e-3, links_bypass) is good


def test_a_count_that_began_while_one_waited_is_as_good_as_ones_own() -> None:
    count = Count(changes=1, used=0, began=100.0, took=0.01)
    assert (count.good(105.0, 99.0, True), count.good(105.0, 101.0, True)) == (True, False)


def test_what_is_left_may_be_less_than_nothing() -> None:
    assert Use(used=80, reserved=30, capacity=100).left == -10


async def test_a_body_that_does_not_fit_is_refused_with_the_figures(databox: Databox) -> None:
    await databox.put("data/g/first", b"x" * 600)
    answer = await databox.files("PUT", "data/g/second", data=b"x" * 401)
    assert figures(answer) == (413, 600, 0, 1000)
    assert await databox.names("data/") == ["g/first"]
    assert (await databox.files("PUT", "data/g/second", data=b"x" * 400)).status == 201
    answer = await databox.files("PUT", "data/g/third", data=b"x")
    assert figures(answer) == (413, 1000, 0, 1000)


async def test_a_body_of_unknown_size_is_cut_off_where_it_does_not_fit(databox: Databox) -> None:
    await databox.put("data/g/first", b"x" * 600)
    answer = await databox.files("PUT", "data/g/second", data=chunked(b"x" * 400, b"x"))
    assert figures(answer) == (413, 600, 0, 1000)
    assert await databox.names("data/") == ["g/first"]
    assert (await databox.files("PUT", "data/g/second", data=chunked(b"x" * 300, b"x" * 100))).status == 201
    assert ((await databox.box())["used"], (await databox.box())["reserved"]) == (1000, 0)


async def test_a_file_that_is_replaced_gives_its_room(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 900)
    await databox.put("data/g/f", b"y" * 1000)
    assert figures(await databox.files("PUT", "data/g/f", query="overwrite=true", data=b"z" * 1001)) == (
        413,
        1000,
        0,
        1000,
    )
    assert (await databox.files("GET", "data/g/f", query="download=1")).content == b"y" * 1000


async def test_an_empty_file_fits_into_a_full_box(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 1000)
    assert (await databox.files("PUT", "data/g/empty", query="upload=1")).status == 201


async def test_deleting_gives_room(databox: Databox) -> None:
    await databox.put("data/g/a", b"x" * 500)
    await databox.put("data/g/b", b"x" * 500)
    assert (await databox.files("DELETE", "data/g/a")).status == 204
    await databox.put("data/g/c", b"x" * 500)
    assert (await databox.files("DELETE", "data/g/")).status == 204
    await databox.put("data/g/d", b"x" * 1000)


async def test_all_users_share_the_capacity(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 700, user="alice")
    answer = await databox.files("PUT", "data/g/f", data=b"x" * 301, user="bob")
    assert figures(answer) == (413, 700, 0, 1000)


async def test_puts_at_the_same_time_never_exceed_the_capacity(databox: Databox) -> None:
    answers = await asyncio.gather(*(databox.files("PUT", f"data/g/{number}", data=b"x" * 300) for number in range(8)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [413] * 5
    assert ((await databox.box())["used"], (await databox.box())["reserved"]) == (900, 0)


async def test_replicas_share_the_capacity(databox: Databox, settings: Settings) -> None:
    async with started(settings) as other:
        await databox.put("data/g/1", b"x" * 100)
        await other.put("data/g/2", b"x" * 500)
        answers = await asyncio.gather(
            *(one.files("PUT", f"data/h/{number}", data=b"x" * 150) for number, one in enumerate([databox, other] * 3))
        )
        assert sorted(answer.status for answer in answers) == [201] * 2 + [413] * 4
        assert (await other.files("DELETE", "data/g/2")).status == 204
        await databox.put("data/g/3", b"x" * 600)
        assert figures(await other.files("PUT", "data/g/4", data=b"x")) == (413, 1000, 0, 1000)


async def test_a_link_with_a_size_reserves_it(databox: Databox) -> None:
    assert (await databox.files("PUT", "data/g/f", query="size=700")).status == 200
    assert (await databox.box())["reserved"] == 700
    assert figures(await databox.files("PUT", "data/g/other", data=b"x" * 301)) == (413, 0, 700, 1000)
    assert figures(await databox.files("PUT", "data/g/other", query="size=301")) == (413, 0, 700, 1000)
    assert (await databox.files("PUT", "data/g/f", query="size=1000")).status == 200
    assert (await databox.box())["reserved"] == 1000


async def test_a_reservation_ends_with_the_file_that_it_was_for(databox: Databox) -> None:
    link = (await databox.files("PUT", "data/g/f", query="size=700")).body["presigned_put_url"]
    assert (await databox.fetch("PUT", link, data=b"x" * 700)).status == 200
    box = await databox.box()
    assert (box["used"], box["reserved"]) == (700, 0)
    await databox.put("data/g/other", b"x" * 300)


async def test_a_reservation_ends_when_the_file_is_streamed_instead(databox: Databox) -> None:
    assert (await databox.files("PUT", "data/g/f", query="size=1000")).status == 200
    await databox.put("data/g/f", b"x" * 1000)
    box = await databox.box()
    assert (box["used"], box["reserved"]) == (1000, 0)


async def test_a_full_box_gives_out_no_links(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 999)
    assert (await databox.files("PUT", "data/g/other")).status == 200
    await databox.put("data/g/f", b"x" * 1000)
    assert figures(await databox.files("PUT", "data/g/other")) == (413, 1000, 0, 1000)
    assert figures(await databox.files("PUT", "data/g/other", query="size=1")) == (413, 1000, 0, 1000)


async def test_what_slipped_through_a_link_is_found_at_the_next_put(databox: Databox) -> None:
    link = (await databox.files("PUT", "data/g/f")).body["presigned_put_url"]
    direct = databox.settings.store_url.startswith("s3")
    answer = await databox.fetch("PUT", link, data=b"x" * 1100)
    assert answer.status == (200 if direct else 413)
    answer = await databox.files("PUT", "data/g/other", data=b"x" * 1)
    if direct:
        assert figures(answer) == (413, 1100, 0, 1000)
    else:
        assert answer.status == 201
        assert await databox.names("data/") == ["g/other"]


async def test_a_box_can_be_resized(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 1000)
    await databox.boxes(data=2000)
    await databox.put("data/g/g", b"x" * 1000)
    await databox.boxes(data=10)
    assert figures(await databox.files("PUT", "data/g/h", data=b"x")) == (413, 2000, 0, 10)


async def test_a_failed_upload_keeps_no_room(databox: Databox) -> None:
    header = {"Content-Digest": "sha-256=:AAAA:"}
    assert (await databox.files("PUT", "data/g/f", data=b"x" * 900, headers=header)).status == 400
    box = await databox.box()
    assert (box["used"], box["reserved"]) == (0, 0)


async def test_many_small_files_at_once_are_all_stored(databox: Databox) -> None:
    """In turn: none is refused because others change the box at the same time."""
    await databox.boxes(data=10_000)
    answers = await asyncio.gather(*(databox.files("PUT", f"data/g/{number}", data=b"x" * 10) for number in range(150)))
    assert {answer.status for answer in answers} == {201}
    box = await databox.box()
    assert (box["used"], box["reserved"]) == (1500, 0)


async def test_of_many_at_once_as_many_are_stored_as_fit(databox: Databox) -> None:
    answers = await asyncio.gather(*(databox.files("PUT", f"data/g/{number}", data=b"x" * 100) for number in range(30)))
    stored = [answer.status for answer in answers].count(201)
    assert {answer.status for answer in answers} == {201, 413}
    assert ((await databox.box())["used"], stored > 0) == (stored * 100, True)
    assert stored <= 10
