"""Conditions of requests for files, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import BytesIO

import pytest

from tests.databox.conftest import Databox

STORES = ["directory", "minio", "versitygw"]
LONG_AGO, ONE_DAY = "Sat, 01 Jan 2000 00:00:00 GMT", "Sun, 01 Jan 2090 00:00:00 GMT"
LARGE = 6 * 1024**2
"""Bytes that go to an S3 server in parts."""


@pytest.fixture(params=STORES)
def urls(request: pytest.FixtureRequest, store_urls: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
    return store_urls(request.param)


CHANGES = [
    ({"If-None-Match": "*"}, 412, 201),
    ({"If-None-Match": "{etag}"}, 412, 201),
    ({"If-None-Match": "W/{etag}"}, 412, 201),
    ({"If-None-Match": '"other"'}, 201, 201),
    ({"If-Match": "*"}, 201, 412),
    ({"If-Match": "{etag}"}, 201, 412),
    ({"If-Match": '"other", {etag}'}, 201, 412),
    ({"If-Match": "W/{etag}"}, 412, 412),
    ({"If-Match": '"other"'}, 412, 412),
    ({"If-Unmodified-Since": LONG_AGO}, 412, 201),
    ({"If-Unmodified-Since": ONE_DAY}, 201, 201),
    ({"If-Match": "{etag}", "If-Unmodified-Since": LONG_AGO}, 201, 412),
    ({"If-Match": "other"}, 400, 400),
]


async def test_conditions_of_a_put(databox: Databox) -> None:
    for conditions, status, nothing in CHANGES:
        etag = (await databox.put("data/g/f", b"old")).headers["ETag"]
        headers = {name: value.replace("{etag}", etag) for name, value in conditions.items()}
        response = await databox.request_file("PUT", "data/g/f", query="overwrite=true", data=b"new", headers=headers)
        content = (await databox.request_file("GET", "data/g/f", query="download=1")).content
        assert (response.status, content) == (status, b"new" if status == 201 else b"old"), headers
        absent = await databox.request_file("PUT", "data/g/none", query="overwrite=true", data=b"new", headers=headers)
        assert absent.status == nothing, headers
        await databox.request_file("DELETE", "data/g/none")


async def test_conditions_of_a_delete(databox: Databox) -> None:
    for conditions, status, nothing in CHANGES:
        etag = (await databox.put("data/g/f", b"old")).headers["ETag"]
        headers = {name: value.replace("{etag}", etag) for name, value in conditions.items()}
        response = await databox.request_file("DELETE", "data/g/f", headers=headers)
        assert response.status == {201: 204}.get(status, status), headers
        assert (await databox.request_file("HEAD", "data/g/f")).status == (404 if status == 201 else 200), headers
        absent = await databox.request_file("DELETE", "data/g/none", headers=headers)
        assert absent.status == {201: 204}.get(nothing, nothing), headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_conditions_of_a_download(databox: Databox, method: str) -> None:
    etag = (await databox.put("data/g/f", b"old")).headers["ETag"]
    for conditions, status in (
        ({"If-Match": "*"}, 200),
        ({"If-Match": etag}, 200),
        ({"If-Match": f"W/{etag}"}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Unmodified-Since": LONG_AGO}, 412),
        ({"If-Unmodified-Since": ONE_DAY}, 200),
        ({"If-None-Match": f'"other", {etag}'}, 304),
        ({"If-Modified-Since": ONE_DAY}, 304),
        ({"If-Modified-Since": LONG_AGO}, 200),
        ({"If-Match": etag, "If-None-Match": etag}, 304),
        ({"If-Match": '"other"', "If-None-Match": etag}, 412),
        ({"If-Match": etag, "Range": "bytes=0-0"}, 206),
        ({"If-Match": '"other"', "Range": "bytes=0-0"}, 412),
    ):
        response = await databox.request_file(method, "data/g/f", query="download=1", headers=conditions)
        assert response.status == status, conditions
        absent = await databox.request_file(method, "data/g/none", query="download=1", headers=conditions)
        assert absent.status == 404, conditions


async def test_links_are_given_under_the_same_conditions(databox: Databox) -> None:
    etag = (await databox.put("data/g/f", b"old")).headers["ETag"]
    for method, headers, status in (
        ("GET", {"If-Match": '"other"'}, 412),
        ("GET", {"If-Match": etag}, 200),
        ("PUT", {"If-None-Match": "*"}, 412),
        ("PUT", {"If-Match": '"other"'}, 412),
        ("PUT", {"If-Match": etag}, 200),
        ("PUT", {}, 400),
    ):
        assert (await databox.request_file(method, "data/g/f", headers=headers)).status == status, (method, headers)
    assert (await databox.request_file("PUT", "data/g/none", headers={"If-None-Match": "*"})).status == 200


async def test_if_match_replaces_without_overwrite(databox: Databox) -> None:
    etag = (await databox.put("data/g/f", b"old")).headers["ETag"]
    assert (await databox.request_file("PUT", "data/g/f", data=b"new", headers={"If-Match": etag})).status == 201
    assert (await databox.request_file("PUT", "data/g/f", data=b"new", headers={"If-Match": etag})).status == 412


async def test_a_group_has_no_version(databox: Databox) -> None:
    await databox.put("data/g/f")
    response = await databox.request_file("DELETE", "data/g/", headers={"If-Match": "*"})
    assert (response.status, response.body["detail"]) == (
        400, "If-Match and its like are for a file: a group has no ETag",
    )  # fmt: skip
    assert await databox.list_names("data/g/") == ["f"]


@pytest.mark.parametrize("size", [1, LARGE])
@pytest.mark.parametrize(("headers", "refused"), [({"If-None-Match": "*"}, 412), ({}, 400)])
async def test_of_concurrent_first_uploads_one_is_stored(
    databox: Databox, size: int, headers: dict[str, str], refused: int
) -> None:
    await databox.declare_boxes(data=100 * LARGE)
    sent = [bytes([number]) * size for number in range(4)]
    responses = await asyncio.gather(
        *(databox.request_file("PUT", "data/g/f", data=BytesIO(content), headers=headers) for content in sent)
    )
    [(stored, response)] = [
        (content, response) for content, response in zip(sent, responses, strict=True) if response.status == 201
    ]
    assert sorted(response.status for response in responses) == [201, *[refused] * 3]
    downloaded = await databox.request_file("GET", "data/g/f", query="download=1")
    assert (downloaded.content == stored, downloaded.headers["ETag"]) == (True, response.headers["ETag"])
    assert (await databox.get_box())["reserved"] == 0


async def test_of_concurrent_updates_of_a_version_one_is_stored(databox: Databox) -> None:
    etag = (await databox.put("data/g/f", b"old")).headers["ETag"]
    responses = await asyncio.gather(
        *(
            databox.request_file("PUT", "data/g/f", data=b"%d" % number, headers={"If-Match": etag})
            for number in range(6)
        )
    )
    assert sorted(response.status for response in responses) == [201, *[412] * 5]
