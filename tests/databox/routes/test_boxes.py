"""Declaring boxes and showing them."""

from __future__ import annotations

import pytest

from tests.databox.conftest import Databox


async def test_a_box_shows_its_figures(databox: Databox) -> None:
    await databox.put("data/g/f", b"12345")
    await databox.request_file("PUT", "data/g/g", query="size=7")
    assert await databox.get_box() == {"name": "data", "capacity": 1000, "used": 5, "reserved": 7, "detached": False}


async def test_a_box_that_is_not_named_is_detached_and_keeps_its_files(databox: Databox) -> None:
    await databox.put("data/g/f")
    await databox.declare_boxes(other=1)
    assert ((await databox.get_box())["detached"], (await databox.get_box())["used"]) == (True, 1)
    response = await databox.request_file("GET", "data/g/f")
    assert (response.status, response.body["boxes"]) == (404, ["other"])
    await databox.declare_boxes(data=500)
    assert await databox.list_names("data/") == ["g/f"]
    assert ((await databox.get_box("other"))["detached"], (await databox.get_box())["capacity"]) == (True, 500)


async def test_an_app_without_boxes_has_none(databox: Databox) -> None:
    response = await databox.call("GET", "/internal/apps/other/boxes")
    assert (response.status, response.body) == (200, {"items": []})
    response = await databox.call("GET", "/internal/apps/other/users/alice/files/data/g/f")
    assert (response.status, response.body["detail"]) == (404, "other has no box data; it has none")


@pytest.mark.parametrize(
    "boxes",
    [{"../x": {"capacity": 1}}, {"": {"capacity": 1}}, {".internal": {"capacity": 1}}, {"data": {"capacity": -1}},
     {"data": {}}, []],
)  # fmt: skip
async def test_bad_declarations_change_nothing(databox: Databox, boxes: object) -> None:
    response = await databox.call("PUT", "/internal/apps/shop/boxes", json={"boxes": boxes})
    assert response.status == 422
    assert (await databox.get_box())["capacity"] == 1000
