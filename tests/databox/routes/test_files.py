"""The routes of a caller's files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from libs.common.identity import HEADER_SCOPES
from tests.databox.conftest import Databox

BYTES = {"Accept": "application/octet-stream"}


def digest_headers(content: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"}


async def as_chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_file_is_uploaded_and_downloaded_by_links(databox: Databox) -> None:
    response = await databox.request_file("PUT", "data/models/m.bin")
    assert (response.status, list(response.body)) == (200, ["presigned_put_url"])
    assert (await databox.fetch("PUT", response.body["presigned_put_url"], data=b"weights")).status == 200
    response = await databox.request_file("GET", "data/models/m.bin")
    assert (response.status, sorted(response.body)) == (200, ["presigned_get_url", "presigned_put_url"])
    assert (await databox.fetch("GET", response.body["presigned_get_url"])).content == b"weights"
    assert (await databox.fetch("PUT", response.body["presigned_put_url"], data=b"better")).status == 200
    assert (await databox.request_file("GET", "data/models/m.bin", headers=BYTES)).content == b"better"


async def test_a_link_for_a_file_that_exists_comes_with_a_400(databox: Databox) -> None:
    await databox.put("data/g/f", b"old")
    response = await databox.request_file("PUT", "data/g/f")
    assert (response.status, response.headers["Content-Type"]) == (400, "application/problem+json")
    assert response.body["detail"] == "the file exists; add ?overwrite=true to replace it"
    assert (await databox.fetch("PUT", response.body["presigned_put_url"], data=b"new")).status == 200
    assert (await databox.request_file("GET", "data/g/f", query="download=1")).content == b"new"


async def test_overwrite_gives_a_link_for_a_file_that_exists(databox: Databox) -> None:
    await databox.put("data/g/f")
    response = await databox.request_file("PUT", "data/g/f", query="overwrite=true")
    assert (response.status, list(response.body)) == (200, ["presigned_put_url"])


@pytest.mark.parametrize("scopes", ["read:shop", "read", "write:other", ""])
async def test_a_read_only_caller_gets_no_upload_link(databox: Databox, scopes: str) -> None:
    await databox.put("data/g/f")
    response = await databox.request_file("GET", "data/g/f", headers={HEADER_SCOPES: scopes})
    assert (response.status, list(response.body)) == (200, ["presigned_get_url"])


@pytest.mark.parametrize("content", [b"x", b"0123456789" * 99])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_is_streamed_into_a_file(databox: Databox, content: bytes, announced: bool) -> None:
    data = content if announced else as_chunks(content[:5], content[5:])
    put = await databox.request_file("PUT", "data/g/f", data=data, headers=digest_headers(content))
    assert (put.status, put.content) == (201, b"")
    got = await databox.request_file("GET", "data/g/f", headers=BYTES)
    assert (got.status, got.content, got.headers["ETag"]) == (200, content, put.headers["ETag"])
    assert got.headers["Content-Length"] == str(len(content))


async def test_an_empty_body_in_chunks_asks_for_a_link(databox: Databox) -> None:
    response = await databox.request_file("PUT", "data/g/f", data=as_chunks())
    assert (response.status, list(response.body)) == (200, ["presigned_put_url"])


async def test_an_empty_file_is_made_on_request(databox: Databox) -> None:
    assert (await databox.request_file("PUT", "data/g/f", query="upload=1")).status == 201
    assert (await databox.request_file("GET", "data/g/f", headers=BYTES)).content == b""


async def test_a_body_with_a_wrong_digest_is_not_stored(databox: Databox) -> None:
    response = await databox.request_file("PUT", "data/g/f", data=b"spoiled", headers=digest_headers(b"meant"))
    assert (response.status, response.body["detail"]) == (
        400, "the body's sha-256 does not match Content-Digest; nothing was stored",
    )  # fmt: skip
    assert (await databox.request_file("HEAD", "data/g/f")).status == 404
    assert (await databox.get_box())["reserved"] == 0


async def test_a_body_replaces_a_file_when_that_is_asked_for(databox: Databox) -> None:
    first = await databox.put("data/g/f", b"old")
    second = await databox.request_file("PUT", "data/g/f", query="overwrite=true", data=b"new")
    assert second.status == 201
    assert first.headers["ETag"] != second.headers["ETag"]
    assert (await databox.request_file("GET", "data/g/f", headers=BYTES)).content == b"new"


@pytest.mark.parametrize("query", ["", "overwrite=false", "upload=1"])
async def test_a_body_replaces_no_file_unasked(databox: Databox, query: str) -> None:
    await databox.put("data/g/f", b"old")
    response = await databox.request_file("PUT", "data/g/f", query=query, data=b"new")
    assert (response.status, response.body["detail"]) == (400, "the file exists; add ?overwrite=true to replace it")
    assert (await databox.request_file("GET", "data/g/f", headers=BYTES)).content == b"old"
    assert (await databox.fetch("PUT", response.body["presigned_put_url"], data=b"new")).status == 200


@pytest.mark.parametrize("content", [b"{}", b" { }\n", b""])
@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
async def test_an_empty_json_object_asks_for_a_link(databox: Databox, content: bytes, kind: str) -> None:
    response = await databox.request_file("PUT", "data/g/f", data=content, headers={"Content-Type": kind})
    assert (response.status, list(response.body)) == (200, ["presigned_put_url"])
    await databox.put("data/g/f")
    response = await databox.request_file(
        "PUT", "data/g/f", data=as_chunks(content[:1], content[1:]), headers={"Content-Type": kind}
    )
    assert (response.status, "presigned_put_url" in response.body) == (400, True)


@pytest.mark.parametrize(
    ("content", "kind", "query"),
    [
        (b'{"a": 1}', "application/json", ""),
        (b"[]", "application/json", ""),
        (b"{}", "application/octet-stream", ""),
        (b"{}", "application/json", "upload=1"),
    ],
)
async def test_any_other_body_is_a_file(databox: Databox, content: bytes, kind: str, query: str) -> None:
    response = await databox.request_file("PUT", "data/g/f", query=query, data=content, headers={"Content-Type": kind})
    assert response.status == 201
    assert (await databox.request_file("GET", "data/g/f", headers=BYTES)).content == content


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        (
            {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
            "the body's md5 does not match Content-MD5; nothing was stored",
        ),
        ({"Content-MD5": "AAAA"}, "Content-MD5: write the 16 bytes of an MD5 in base64"),
        ({"Content-MD5": "?"}, "Content-MD5: the value is not base64"),
        (
            {"Content-Range": "bytes 0-3/9"},
            "Content-Range: partial uploads are not supported; send the whole file without this header",
        ),
    ],
)
async def test_a_body_with_wrong_headers_is_rejected(databox: Databox, headers: dict[str, str], detail: str) -> None:
    link = (await databox.request_file("PUT", "data/g/f")).body["presigned_put_url"]
    response = await databox.request_file("PUT", "data/g/f", data=b"body", headers=headers)
    assert (response.status, response.body["detail"]) == (400, detail)
    if "/links/" in link:  # an S3 server's own answer is its own
        assert (await databox.fetch("PUT", link, data=b"body", headers=headers)).status == 400
    assert (await databox.request_file("HEAD", "data/g/f")).status == 404


async def test_a_body_with_the_right_md5_is_stored(databox: Databox) -> None:
    md5 = base64.b64encode(hashlib.md5(b"body").digest()).decode()  # noqa: S324  what Content-MD5 is
    response = await databox.request_file(
        "PUT", "data/g/f", data=b"body", headers={"Content-MD5": md5, **digest_headers(b"body")}
    )
    assert response.status == 201


async def test_downloads_have_a_content_disposition(databox: Databox) -> None:
    name = 'data/g/é"a%;b.txt'
    await databox.put(name)
    named = "attachment; filename=\"__a__b.txt\"; filename*=UTF-8''%C3%A9%22a%25%3Bb.txt"
    for response in (
        await databox.request_file("GET", name, headers=BYTES),
        await databox.request_file("HEAD", name),
        await databox.fetch("GET", (await databox.request_file("GET", name)).body["presigned_get_url"]),
    ):
        assert (response.status, response.headers["Content-Disposition"]) == (200, named)


async def test_a_part_of_a_file_is_downloaded(databox: Databox) -> None:
    await databox.put("data/g/f", b"0123456789")
    for range_headers, status, content, content_range in (
        ({"Range": "bytes=2-4"}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=7-"}, 206, b"789", "bytes 7-9/10"),
        ({"Range": "bytes=-2"}, 206, b"89", "bytes 8-9/10"),
        ({"Range": "bytes=1-2,4-5"}, 200, b"0123456789", None),
        ({"Range": "bytes=2-4", "If-Range": '"other"'}, 200, b"0123456789", None),
    ):
        response = await databox.request_file("GET", "data/g/f", headers={**BYTES, **range_headers})
        assert (response.status, response.content, response.headers.get("Content-Range")) == (
            status,
            content,
            content_range,
        )
    response = await databox.request_file("GET", "data/g/f", headers={**BYTES, "Range": "bytes=10-"})
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */10")


async def test_a_file_that_the_caller_has_is_not_sent_again(databox: Databox) -> None:
    etag = (await databox.put("data/g/f", b"content")).headers["ETag"]
    response = await databox.request_file("GET", "data/g/f", headers={**BYTES, "If-None-Match": etag})
    assert (response.status, response.content, response.headers["ETag"]) == (304, b"", etag)
    part = await databox.request_file("GET", "data/g/f", headers={**BYTES, "Range": "bytes=0-0", "If-Range": etag})
    assert (part.status, part.content) == (206, b"c")


async def test_head_describes_a_file(databox: Databox) -> None:
    etag = (await databox.put("data/g/f", b"content")).headers["ETag"]
    response = await databox.request_file("HEAD", "data/g/f")
    assert (response.status, response.headers["Content-Length"], response.headers["ETag"]) == (200, "7", etag)
    assert response.headers["Accept-Ranges"] == "bytes"
    assert (await databox.request_file("HEAD", "data/g/none")).status == 404
    assert (await databox.request_file("HEAD", "data/g/")).status == 200


async def test_a_missing_file_is_404(databox: Databox) -> None:
    for headers in ({}, BYTES):
        response = await databox.request_file("GET", "data/g/none", headers=headers)
        assert (response.status, response.body["detail"]) == (404, "there is no such file")


async def test_deleting_is_204_also_when_it_is_gone(databox: Databox) -> None:
    for name in ("data/g/f", "data/g/sub/f", "data/other/f"):
        await databox.put(name)
    assert (await databox.request_file("DELETE", "data/g/f")).status == 204
    assert (await databox.request_file("DELETE", "data/g/f")).status == 204
    assert (await databox.request_file("GET", "data/g/f")).status == 404
    assert (await databox.request_file("DELETE", "data/g/")).status == 204
    assert (await databox.request_file("DELETE", "data/g")).status == 204
    assert await databox.list_names("data/") == ["other/f"]
    assert (await databox.get_box())["used"] == 1


async def test_a_whole_box_is_not_deleted(databox: Databox) -> None:
    await databox.put("data/g/f")
    assert (await databox.request_file("DELETE", "data/")).status == 422
    assert await databox.list_names("data/") == ["g/f"]


async def test_a_group_is_listed_with_what_is_known_of_its_files(databox: Databox) -> None:
    etag = (await databox.put("data/g/b.txt", b"12345")).headers["ETag"]
    await databox.put("data/g/sub/a.txt")
    await databox.put("data/other/x")
    for path in ("data/g/", "data/g"):
        response = await databox.request_file("GET", path)
        assert (response.status, response.body["next"]) == (200, None)
        assert [item["name"] for item in response.body["items"]] == ["b.txt", "sub/a.txt"]
        first = response.body["items"][0]
        assert (first["size"], f'"{first["etag"]}"') == (5, etag)
        assert first["modified"].endswith("Z")


async def test_a_box_is_listed_with_its_groups(databox: Databox) -> None:
    for name in ("data/b/2", "data/a/1", "data/a/sub/3"):
        await databox.put(name)
    assert await databox.list_names("data/") == ["a/1", "a/sub/3", "b/2"]
    assert await databox.list_names("data") == ["a/1", "a/sub/3", "b/2"]
    assert await databox.list_names("data/", "prefix=a/s") == ["a/sub/3"]
    assert await databox.list_names("data/a/", "prefix=s") == ["sub/3"]


async def test_a_group_that_is_not_there_is_empty(databox: Databox) -> None:
    response = await databox.request_file("GET", "data/none/")
    assert (response.status, response.body) == (200, {"items": [], "next": None})


async def test_a_listing_comes_in_pages(databox: Databox) -> None:
    for number in range(5):
        await databox.put(f"data/g/{number}")
    seen: list[str] = []
    query = "limit=2"
    while True:
        response = await databox.request_file("GET", "data/g/", query=query)
        assert len(response.body["items"]) <= 2
        seen += [item["name"] for item in response.body["items"]]
        if response.body["next"] is None:
            break
        query = f"limit=2&cursor={response.body['next']}"
    assert seen == ["0", "1", "2", "3", "4"]


async def test_a_cursor_cannot_be_forged_or_used_elsewhere(databox: Databox) -> None:
    await databox.put("data/g/1")
    await databox.put("data/g/2")
    cursor = (await databox.request_file("GET", "data/g/", query="limit=1")).body["next"]
    for path, bad_cursor in (("g", "abc"), ("g", ""), ("g", cursor[:-2]), ("g", "é%20="), ("other", cursor)):
        response = await databox.request_file("GET", f"data/{path}/", query=f"cursor={bad_cursor}")
        assert (response.status, bad_cursor) == (400, bad_cursor)


async def test_a_page_has_limits(databox: Databox) -> None:
    for limit in ["0", "1001", "-1", "x"]:
        assert (await databox.request_file("GET", "data/g/", query=f"limit={limit}")).status == 422, limit


async def test_callers_see_only_their_own_files(databox: Databox) -> None:
    await databox.put("data/g/f", b"alice's")
    await databox.put("data/g/f", b"bob's", user="bob@example.org")
    assert (await databox.request_file("GET", "data/g/f", headers=BYTES)).content == b"alice's"
    assert (await databox.request_file("GET", "data/g/f", user="bob@example.org", headers=BYTES)).content == b"bob's"
    assert await databox.list_names("data/", user="carol") == []


async def test_callers_without_credentials_have_no_files(databox: Databox) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        assert (await databox.request_file(method, "data/g/f", user="anonymous")).status == 403


async def test_other_users_names_are_refused(databox: Databox) -> None:
    for user in ("..", ".", "a%20b", "x" * 65, "a%2Fb", "%C3%A9", "a:b"):
        response = await databox.call("PUT", f"/internal/apps/shop/users/{user}/files/data/g/f", data=b"x")
        assert response.status in (404, 422), user
    assert (await databox.get_box())["used"] == 0


async def test_an_unknown_box_is_404_and_names_the_boxes(databox: Databox) -> None:
    await databox.declare_boxes(data=1000, weights=5)
    response = await databox.request_file("GET", "nothing/g/f")
    assert (response.status, response.body["boxes"]) == (404, ["data", "weights"])
    assert response.body["detail"] == "shop has no box nothing; it has data, weights"


async def test_a_put_to_a_group_is_422(databox: Databox) -> None:
    for path in ("data/g", "data/g/", "data/g/sub/", "data/", "data"):
        assert (await databox.request_file("PUT", path, data=b"x")).status == 422
        assert (await databox.request_file("PUT", path)).status == 422


async def test_unusual_names_work(databox: Databox) -> None:
    for name in ("日本語.txt", "a b+c&d=e?f#g", "café/naïve", "~!'()*;:@$,[]", "100%.txt", "-", "..."):
        await databox.put(f"data/g/{name}", b"content")
        assert await databox.list_names("data/g/") == [name]
        link = (await databox.request_file("GET", f"data/g/{name}")).body["presigned_get_url"]
        assert (await databox.fetch("GET", link)).content == b"content"
        assert (await databox.request_file("DELETE", f"data/g/{name}")).status == 204


HOSTILE = [
    "g/../../../../etc/passwd", "../x/f", "g/..", "g/./f", "/etc/passwd", "g//f", "%2E%2E/f", "g/%2e%2e/%2e%2e/f",
    "g%2F..%2Ff", "g/..%2f..%2fx", "g/%252e%252e/f", "g/a%252Fb", "g/a%5Cb", "g/a%255Cb", "g/%00", "g/a%00b",
    "g/a%0Ab", "g/f%0A", "g/%7F", "g/%2500", "g/%FF", "g/%C0%AE%C0%AE", "g/%ED%A0%80", "g/" + "n" * 256,
    "g/" + "n/" * 900 + "f", "g/" + "x" * 2000,
]  # fmt: skip


async def test_hostile_names_are_refused_and_store_nothing(databox: Databox) -> None:
    for path in HOSTILE:
        for method, data in (("PUT", b"x"), ("PUT", None), ("GET", None), ("DELETE", None)):
            response = await databox.call(method, f"/internal/apps/shop/users/alice/files/data/{path}", data=data)
            assert response.status in (400, 422), (method, path, response.body)
            assert response.headers["Content-Type"] == "application/problem+json"
    assert await databox.list_names("data/") == []


async def test_hostile_prefixes_are_refused(databox: Databox) -> None:
    for prefix, status in [
        ("..%2F", 422),
        ("a%2F..%2F", 422),
        ("%2F", 422),
        ("a%01", 422),
        ("a%2F%2Fb", 422),
        ("a%00", 400),
    ]:
        assert (await databox.request_file("GET", "data/g/", query=f"prefix={prefix}")).status == status, prefix


async def test_a_file_and_a_folder_of_one_name_are_a_conflict(databox: Databox) -> None:
    await databox.put("data/g/name/f")
    assert (await databox.request_file("PUT", "data/g/name", data=b"x")).status == 409
    assert (await databox.request_file("PUT", "data/g/name")).status == 409
    await databox.put("data/g/file")
    assert (await databox.request_file("PUT", "data/g/file/f", data=b"x")).status == 409
    assert await databox.list_names("data/") == ["g/file", "g/name/f"]


async def test_links_live_between_a_second_and_a_day(databox: Databox) -> None:
    for expires in ["0", "86401", "1h", "-5", "", "9" * 30]:
        assert (await databox.request_file("PUT", "data/g/f", query=f"expires={expires}")).status == 422, expires
    assert (await databox.request_file("PUT", "data/g/f", query="expires=86400")).status == 200


async def test_new_files_publish_a_file_changed_event(databox: Databox) -> None:
    await databox.put("data/g/f")
    heard = await databox.next_change()
    assert (heard.app, heard.box) == ("shop", "data")


async def test_every_route_demands_the_internal_token(databox: Databox) -> None:
    path = f"{databox.url}/internal/apps/shop/users/alice/files/data/g/f"
    assert (await databox.fetch("GET", path)).status == 401


async def test_a_sender_that_goes_away_leaves_nothing(databox: Databox) -> None:
    async def aborted_body() -> AsyncIterator[bytes]:
        yield b"some"
        raise ConnectionResetError

    with pytest.raises(aiohttp.ClientError):
        await databox.request_file("PUT", "data/g/f", data=aborted_body())
    assert (await databox.request_file("HEAD", "data/g/f")).status == 404


async def test_links_lead_through_all_pages_of_a_listing(databox: Databox) -> None:
    names = ["a b/1", "a b/2", "a b/3", "b/1"]
    for name in names:
        await databox.put(f"data/g/{name}")
    listed: list[str] = []
    query: str | None = "prefix=a%20b/&limit=1"
    while query is not None:
        response = await databox.request_file("GET", "data/g/", query=query)
        assert response.status == 200, response.body
        listed += [item["name"] for item in response.body["items"]]
        link = response.headers.get("Link")
        assert (link is None) == (response.body["next"] is None)
        path, _, query = (link or "").removeprefix("<").removesuffix('>; rel="next"').partition("?")
        assert path in ("", "/shop/files/data/g/")
        query = query or None
    assert listed == names[:3]


@pytest.mark.parametrize("cursor", ["", "forged", "%C3%A9", "AAAA", "a" * 3000])
async def test_a_made_up_cursor_is_400(databox: Databox, cursor: str) -> None:
    response = await databox.request_file("GET", "data/g/", query=f"cursor={cursor}")
    assert (response.status, response.body["detail"]) == (
        400, "invalid cursor; start again without a cursor",
    )  # fmt: skip
