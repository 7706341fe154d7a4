"""Declaring boxes and showing them."""

from __future__ import annotations

import pytest

from tests.databox.conftest import Databox


async def test_a_box_shows_its_figures(databox: Databox) -> None:
    await databox.put("data/g/f", b"12345")
    await databox.files("PUT", "data/g/g", query="size=7")
    assert await databox.box() == {"name": "data", "capacity": 1000, "used": 5, "reserved": 7, "detached": False}


async def test_a_box_that_is_not_named_is_detached_and_keeps_its_files(databox: Databox) -> None:
    await databox.put("data/g/f")
    await databox.boxes(other=1)
    assert ((await databox.box())["detached"], (await databox.box())["used"]) == (True, 1)
    answer = await databox.files("GET", "data/g/f")
    assert (answer.status, answer.body["boxes"]) == (404, ["other"])
    await databox.boxes(data=500)
    assert await databox.names("data/") == ["g/f"]
    assert ((await databox.box("other"))["detached"], (await databox.box())["capacity"]) == (True, 500)


async def test_an_app_without_boxes_has_none(databox: Databox) -> None:
    answer = await databox.call("GET", "/internal/apps/other/boxes")
    assert (answer.status, answer.body) == (200, {"items": []})
    answer = await databox.call("GET", "/internal/apps/other/users/alice/files/data/g/f")
    assert (answer.status, answer.body["detail"]) == (404, "other has no box data; it has none")


@pytest.mark.parametrize(
    "boxes",
    [{"../x": {"capacity": 1}}, {"": {"capacity": 1}}, {".internal": {"capacity": 1}}, {"data": {"capacity": -1}},
     {"data": {}}, []],
)  # fmt: skip
async def test_bad_declarations_change_nothing(databox: Databox, boxes: object) -> None:
    answer = await databox.call("PUT", "/internal/apps/shop/boxes", json={"boxes": boxes})
    assert answer.status == 422
    assert (await databox.box())["capacity"] == 1000
