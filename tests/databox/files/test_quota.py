"""Quotas: which uploads are rejected, and when reserved bytes are released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.common.settings import Settings
from services.databox.db import Reservation
from services.databox.files.quota import BoxUsage, UsageSample, find_stored
from services.databox.files.reservations import UploadReservation
from services.databox.store import Stat
from tests.databox.conftest import Databox, Response, start_databox


def status_and_usage(response: Response) -> tuple[int, int, int, int]:
    return response.status, response.body["used"], response.body["reserved"], response.body["capacity"]


async def as_chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("age", "duration", "presigned_links", "fresh"),
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
def test_slow_usage_count_is_reused_longer(age: float, duration: float, presigned_links: bool, fresh: bool) -> None:
    now = 100.0 + age
    assert (
        UsageSample(box_version=1, used=0, started_at=100.0, duration=duration).is_fresh(
            now, now + 1e-3, presigned_links
        )
        is fresh
    )


def test_a_count_that_started_after_the_request_is_fresh() -> None:
    count = UsageSample(box_version=1, used=0, started_at=100.0, duration=0.01)
    assert (count.is_fresh(105.0, 99.0, True), count.is_fresh(105.0, 101.0, True)) == (True, False)


def test_available_bytes_may_be_negative() -> None:
    assert BoxUsage(used=80, reserved=30, capacity=100).available == -10


async def test_a_body_over_the_quota_is_413_with_the_usage(databox: Databox) -> None:
    await databox.put("data/g/first", b"x" * 600)
    response = await databox.request_file("PUT", "data/g/second", data=b"x" * 401)
    assert status_and_usage(response) == (413, 600, 0, 1000)
    assert await databox.list_names("data/") == ["g/first"]
    assert (await databox.request_file("PUT", "data/g/second", data=b"x" * 400)).status == 201
    response = await databox.request_file("PUT", "data/g/third", data=b"x")
    assert status_and_usage(response) == (413, 1000, 0, 1000)


async def test_a_body_of_unknown_size_is_rejected_when_it_exceeds_the_quota(databox: Databox) -> None:
    await databox.put("data/g/first", b"x" * 600)
    response = await databox.request_file("PUT", "data/g/second", data=as_chunks(b"x" * 400, b"x"))
    assert status_and_usage(response) == (413, 600, 0, 1000)
    assert await databox.list_names("data/") == ["g/first"]
    assert (await databox.request_file("PUT", "data/g/second", data=as_chunks(b"x" * 300, b"x" * 100))).status == 201
    assert ((await databox.get_box())["used"], (await databox.get_box())["reserved"]) == (1000, 0)


async def test_a_replaced_file_frees_its_bytes(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 900)
    await databox.put("data/g/f", b"y" * 1000)
    assert status_and_usage(
        await databox.request_file("PUT", "data/g/f", query="overwrite=true", data=b"z" * 1001)
    ) == (
        413,
        1000,
        0,
        1000,
    )
    assert (await databox.request_file("GET", "data/g/f", query="download=1")).content == b"y" * 1000


async def test_an_empty_file_fits_into_a_full_box(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 1000)
    assert (await databox.request_file("PUT", "data/g/empty", query="upload=1")).status == 201


async def test_deleting_frees_bytes(databox: Databox) -> None:
    await databox.put("data/g/a", b"x" * 500)
    await databox.put("data/g/b", b"x" * 500)
    assert (await databox.request_file("DELETE", "data/g/a")).status == 204
    await databox.put("data/g/c", b"x" * 500)
    assert (await databox.request_file("DELETE", "data/g/")).status == 204
    await databox.put("data/g/d", b"x" * 1000)


async def test_all_users_share_the_capacity(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 700, user="alice")
    response = await databox.request_file("PUT", "data/g/f", data=b"x" * 301, user="bob")
    assert status_and_usage(response) == (413, 700, 0, 1000)


async def test_puts_at_the_same_time_never_exceed_the_capacity(databox: Databox) -> None:
    responses = await asyncio.gather(
        *(databox.request_file("PUT", f"data/g/{number}", data=b"x" * 300) for number in range(8))
    )
    assert sorted(response.status for response in responses) == [201] * 3 + [413] * 5
    assert ((await databox.get_box())["used"], (await databox.get_box())["reserved"]) == (900, 0)


@pytest.mark.parametrize("old", [0, 200])
async def test_a_stored_file_is_not_counted_with_its_reservation(
    databox: Databox, settings: Settings, monkeypatch: pytest.MonkeyPatch, old: int
) -> None:
    stored, go_on = asyncio.Event(), asyncio.Event()
    commit = UploadReservation.commit

    async def commit_later(reservation: UploadReservation, size: int) -> None:
        stored.set()
        await go_on.wait()
        await commit(reservation, size)

    if old:
        await databox.put("data/g/first", b"x" * old)
    monkeypatch.setattr(UploadReservation, "commit", commit_later)
    first = asyncio.create_task(databox.put("data/g/first", b"y" * 600))
    await stored.wait()
    monkeypatch.setattr(UploadReservation, "commit", commit)
    async with start_databox(settings) as other:
        await other.put("data/g/second", b"x" * 300)
        assert ((await other.get_box())["used"], (await other.get_box())["reserved"]) == (900, 0)
        go_on.set()
        await first
    assert ((await databox.get_box())["used"], (await databox.get_box())["reserved"]) == (900, 0)
    assert (await databox.request_file("PUT", "data/g/third", data=b"x" * 101)).status == 413
    await databox.put("data/g/third", b"x" * 100)


def test_one_file_releases_the_smallest_reservation_of_its_key() -> None:
    def reserve(id: str, size: int, old_version: str | None = None) -> Reservation:
        return Reservation(id, "shop", "data", "key", size, old_version, expires_at=0.0)

    reservations = [
        reserve("upload:a", 5),
        reserve("link:key", 9),
        reserve("upload:b", 3),
        reserve("upload:c", 1, "e 7"),
    ]
    assert find_stored(reservations, Stat("key", 3, "e", 7.5)) == ["link:key", "upload:b"]
    assert find_stored([reserve("upload:c", 1, "e 7")], Stat("key", 3, "e", 7.5)) == []


async def test_replicas_share_the_capacity(databox: Databox, settings: Settings) -> None:
    async with start_databox(settings) as other:
        await databox.put("data/g/1", b"x" * 100)
        await other.put("data/g/2", b"x" * 500)
        responses = await asyncio.gather(
            *(
                replica.request_file("PUT", f"data/h/{number}", data=b"x" * 150)
                for number, replica in enumerate([databox, other] * 3)
            )
        )
        assert sorted(response.status for response in responses) == [201] * 2 + [413] * 4
        assert (await other.request_file("DELETE", "data/g/2")).status == 204
        await databox.put("data/g/3", b"x" * 600)
        assert status_and_usage(await other.request_file("PUT", "data/g/4", data=b"x")) == (413, 1000, 0, 1000)


async def test_a_link_with_a_size_reserves_it(databox: Databox) -> None:
    assert (await databox.request_file("PUT", "data/g/f", query="size=700")).status == 200
    assert (await databox.get_box())["reserved"] == 700
    assert status_and_usage(await databox.request_file("PUT", "data/g/other", data=b"x" * 301)) == (413, 0, 700, 1000)
    assert status_and_usage(await databox.request_file("PUT", "data/g/other", query="size=301")) == (413, 0, 700, 1000)
    assert (await databox.request_file("PUT", "data/g/f", query="size=1000")).status == 200
    assert (await databox.get_box())["reserved"] == 1000


async def test_a_reservation_ends_with_the_file_that_it_was_for(databox: Databox) -> None:
    link = (await databox.request_file("PUT", "data/g/f", query="size=700")).body["presigned_put_url"]
    assert (await databox.fetch("PUT", link, data=b"x" * 700)).status == 200
    box = await databox.get_box()
    assert (box["used"], box["reserved"]) == (700, 0)
    await databox.put("data/g/other", b"x" * 300)


async def test_a_reservation_ends_when_the_file_is_streamed_instead(databox: Databox) -> None:
    assert (await databox.request_file("PUT", "data/g/f", query="size=1000")).status == 200
    await databox.put("data/g/f", b"x" * 1000)
    box = await databox.get_box()
    assert (box["used"], box["reserved"]) == (1000, 0)


async def test_a_second_link_for_a_stored_file_is_reserved(
    databox: Databox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, go_on = asyncio.Event(), asyncio.Event()
    commit = UploadReservation.commit

    async def commit_later(reservation: UploadReservation, size: int) -> None:
        stored.set()
        await go_on.wait()
        await commit(reservation, size)

    monkeypatch.setattr(UploadReservation, "commit", commit_later)
    assert (await databox.request_file("PUT", "data/g/f", query="size=600")).status == 200
    upload = asyncio.create_task(databox.put("data/g/f", b"x" * 600))
    await stored.wait()
    async with start_databox(settings) as other:
        assert ((await other.get_box())["used"], (await other.get_box())["reserved"]) == (600, 0)
        assert (await other.request_file("PUT", "data/g/f", query="size=200&overwrite=true")).status == 200
        assert (await other.get_box())["reserved"] == 200
    go_on.set()
    await upload


async def test_a_full_box_issues_no_upload_links(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 999)
    assert (await databox.request_file("PUT", "data/g/other")).status == 200
    await databox.put("data/g/f", b"x" * 1000)
    assert status_and_usage(await databox.request_file("PUT", "data/g/other")) == (413, 1000, 0, 1000)
    assert status_and_usage(await databox.request_file("PUT", "data/g/other", query="size=1")) == (413, 1000, 0, 1000)


async def test_an_oversized_upload_by_link_is_counted_at_the_next_put(databox: Databox) -> None:
    link = (await databox.request_file("PUT", "data/g/f")).body["presigned_put_url"]
    direct = databox.settings.store_url.startswith("s3")
    response = await databox.fetch("PUT", link, data=b"x" * 1100)
    assert response.status == (200 if direct else 413)
    response = await databox.request_file("PUT", "data/g/other", data=b"x" * 1)
    if direct:
        assert status_and_usage(response) == (413, 1100, 0, 1000)
    else:
        assert response.status == 201
        assert await databox.list_names("data/") == ["g/other"]


async def test_a_box_can_be_resized(databox: Databox) -> None:
    await databox.put("data/g/f", b"x" * 1000)
    await databox.declare_boxes(data=2000)
    await databox.put("data/g/g", b"x" * 1000)
    await databox.declare_boxes(data=10)
    assert status_and_usage(await databox.request_file("PUT", "data/g/h", data=b"x")) == (413, 2000, 0, 10)


async def test_a_failed_upload_releases_its_reservation(databox: Databox) -> None:
    header = {"Content-Digest": "sha-256=:AAAA:"}
    assert (await databox.request_file("PUT", "data/g/f", data=b"x" * 900, headers=header)).status == 400
    box = await databox.get_box()
    assert (box["used"], box["reserved"]) == (0, 0)


async def test_many_concurrent_small_uploads_are_all_stored(databox: Databox) -> None:
    """Concurrent uploads are serialised; none is rejected because the box is busy."""
    await databox.declare_boxes(data=10_000)
    responses = await asyncio.gather(
        *(databox.request_file("PUT", f"data/g/{number}", data=b"x" * 10) for number in range(150))
    )
    assert {response.status for response in responses} == {201}
    box = await databox.get_box()
    assert (box["used"], box["reserved"]) == (1500, 0)


async def test_concurrent_uploads_are_stored_up_to_the_capacity(databox: Databox) -> None:
    responses = await asyncio.gather(
        *(databox.request_file("PUT", f"data/g/{number}", data=b"x" * 100) for number in range(30))
    )
    stored = [response.status for response in responses].count(201)
    assert {response.status for response in responses} == {201, 413}
    assert ((await databox.get_box())["used"], stored > 0) == (stored * 100, True)
    assert stored <= 10
