"""Stage-in and stage-out: sources, targets, areas."""

from __future__ import annotations

from typing import Any

from tests.databox.conftest import Databox, Response

GROUP = {"box": "data", "user": "alice", "group": "g"}
AREA = {"area": "runs/1/train/1/model"}


async def list_sources(databox: Databox, *locations: dict[str, Any], links: bool = False) -> Response:
    return await databox.call("POST", "/internal/apps/shop/sources", json={"locations": locations, "links": links})


async def create_targets(databox: Databox, *files: tuple[dict[str, Any], int]) -> Response:
    body = {"files": [{"location": location, "size": size} for location, size in files]}
    return await databox.call("POST", "/internal/apps/shop/targets", json=body)


async def test_sources_describe_files_and_folders(databox: Databox) -> None:
    etag = (await databox.put("data/g/a.csv", b"12345")).headers["ETag"].strip('"')
    await databox.put("data/g/sub/b.csv")
    response = await list_sources(databox, GROUP | {"file": "a.csv"}, GROUP, GROUP | {"file": "none"}, AREA)
    file, folder, missing, area = response.body["sources"]
    assert (response.status, missing, area) == (200, [], [])
    assert [(item["name"], item["size"], item["etag"]) for item in file] == [("a.csv", 5, etag)]
    assert [item["name"] for item in folder] == ["a.csv", "sub/b.csv"]
    assert file[0]["modified"].endswith("Z")
    assert "url" not in file[0]


async def test_a_file_keeps_its_base_name(databox: Databox) -> None:
    await databox.put("data/g/sub/b.csv")
    response = await list_sources(databox, GROUP | {"file": "sub/b.csv"})
    assert response.body["sources"][0][0]["name"] == "b.csv"


async def test_groups_may_have_several_segments(databox: Databox) -> None:
    await databox.put("data/runs/1/out/f")
    response = await list_sources(databox, {"box": "data", "user": "alice", "group": "runs/1/out"})
    assert [item["name"] for item in response.body["sources"][0]] == ["f"]


async def test_sources_come_with_links_for_inside(databox: Databox) -> None:
    await databox.put("data/g/a.csv", b"12345")
    url = (await list_sources(databox, GROUP, links=True)).body["sources"][0][0]["url"]
    assert url.startswith("http://127.0.0.1:")
    assert (await databox.fetch("GET", url)).content == b"12345"


async def test_sources_come_with_links_for_a_caller_outside(databox: Databox) -> None:
    await databox.put("data/g/a.csv", b"12345")
    body = {"locations": [GROUP], "links": True, "reader": "public"}
    response = await databox.call("POST", "/internal/apps/shop/sources", json=body)
    url = response.body["sources"][0][0]["url"]
    direct = databox.settings.store_url.startswith("s3")
    assert url.startswith("http://127.0.0.1:" if direct else "http://localhost:")
    assert (await databox.fetch("GET", url)).content == b"12345"


async def test_targets_take_files_of_the_internal_area(databox: Databox) -> None:
    response = await create_targets(databox, (AREA | {"file": "a"}, 3), (AREA | {"file": "sub/b"}, 5000))
    assert response.status == 200
    first, second = (target["url"] for target in response.body["targets"])
    assert (await databox.fetch("PUT", first, data=b"abc")).status == 200
    assert (await databox.fetch("PUT", second, data=b"x" * 5000)).status == 200
    files = (await list_sources(databox, AREA, links=True)).body["sources"][0]
    assert [(item["name"], item["size"]) for item in files] == [("a", 3), ("sub/b", 5000)]
    assert (await databox.fetch("GET", files[0]["url"])).content == b"abc"
    assert (await databox.get_box())["used"] == 0


async def test_targets_in_a_box_reserve_their_size(databox: Databox) -> None:
    assert (await create_targets(databox, (GROUP | {"file": "a"}, 600))).status == 200
    response = await create_targets(databox, (GROUP | {"file": "b"}, 401))
    assert (response.status, response.body["used"], response.body["reserved"], response.body["capacity"]) == (
        413,
        0,
        600,
        1000,
    )


async def test_bad_locations_are_named(databox: Databox) -> None:
    for location in (
        {"area": "../../etc"}, {"area": "a//b"}, {"area": ""}, AREA | {"file": "../x"}, AREA | {"file": ""},
        GROUP | {"user": "anonymous"}, GROUP | {"user": ".."}, GROUP | {"group": ".."}, GROUP | {"box": "a/b"},
        GROUP | {"file": "x\0"}, {"box": "data"}, {},
    ):  # fmt: skip
        response = await list_sources(databox, location)
        assert response.status == 422, location
        assert "location" in response.body["detail"], response.body


async def test_folders_and_unknown_boxes_are_no_targets(databox: Databox) -> None:
    assert (await create_targets(databox, (GROUP, 1))).status == 422
    assert (await create_targets(databox, (GROUP | {"box": "none", "file": "f"}, 1))).status == 422


async def test_an_area_is_removed_with_all_in_it(databox: Databox) -> None:
    for area in ("runs/1/a", "runs/1/b", "runs/10/a"):
        url = (await create_targets(databox, ({"area": area, "file": "f"}, 1))).body["targets"][0]["url"]
        assert (await databox.fetch("PUT", url, data=b"x")).status == 200
    for _ in range(2):
        assert (await databox.call("DELETE", "/internal/apps/shop/areas/runs/1")).status == 204
    response = await list_sources(databox, *({"area": area} for area in ("runs/1/a", "runs/1/b", "runs/10/a")))
    assert [len(files) for files in response.body["sources"]] == [0, 0, 1]
    assert (await databox.call("DELETE", "/internal/apps/shop/areas/a//b")).status == 422


async def test_sources_report_full_boxes_as_refusals(databox: Databox) -> None:
    async def list_refusals() -> list[str | None]:
        folders = [{"box": "data", "user": "alice", "group": group} for group in ("there", "new")]
        body = {"locations": [], "targets": [*folders, {"box": "none", "user": "alice", "group": "g"}]}
        response = await databox.call("POST", "/internal/apps/shop/sources", json=body)
        assert response.status == 200, response.body
        reasons: list[str | None] = response.body["refusals"]
        return reasons

    await databox.put("data/there/f", b"x" * 999)
    assert await list_refusals() == [None, None, "shop has no box none"]
    await databox.put("data/there/g", b"x")
    assert await list_refusals() == [
        None, "box data is full: 1000 bytes used and 0 reserved of 1000", "shop has no box none",
    ]  # fmt: skip
