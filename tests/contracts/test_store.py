"""What every store promises: a folder, MinIO, and another vendor's S3 server."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from minio import Minio

from libs.common.errors import Conflict, Malformed, NotFound, Unavailable
from libs.common.http.ranges import Span
from libs.common.settings import Settings
from libs.common.signed_tokens import TokenSigner
from services.databox.links import verify_link
from services.databox.store import Store, open_store
from services.databox.store.s3.address import S3Address

STORES = ["directory", "minio", "versitygw"]
MIB = 1024**2


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "directory":
        return f"file://{tmp_path / 'store'}"
    url: str = request.getfixturevalue({"minio": "minio_url", "versitygw": "s3_second_url"}[request.param])
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with open_store(Settings.from_values(store=store_url), TokenSigner("secret")) as opened:
        await opened.ready()
        yield opened


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def failing(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise Malformed("the body is not good")


async def content(store: Store, key: str, span: Span | None = None) -> bytes:
    stat = await store.stat(key)
    assert stat is not None
    async with store.get(stat, span) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def keys(store: Store, prefix: str, after: str = "", limit: int | None = None) -> list[str]:
    return [stat.key async for stat in store.list(prefix, after, limit)]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("chunks", [(), (b"x",), (b"one", b"two", b"three")])
async def test_what_was_put_is_what_is_read(store: Store, chunks: tuple[bytes, ...], known: bool) -> None:
    whole = b"".join(chunks)
    put = await store.put("a/file", body(*chunks), len(whole) if known else None)
    found = await store.stat("a/file")
    assert found is not None
    assert (put.key, put.size, put.etag) == (found.key, found.size, found.etag) == ("a/file", len(whole), put.etag)
    assert put.etag
    assert '"' not in put.etag
    assert abs(found.modified - time.time()) < 60
    assert await content(store, "a/file") == whole


async def test_a_large_file_of_unknown_size_arrives_whole(store: Store) -> None:
    block = os.urandom(MIB)
    put = await store.put("a/large", body(*[block] * 19, b"end"))
    assert put.size == 19 * MIB + 3
    found = await store.stat("a/large")
    assert found is not None
    async with store.get(found) as chunks:
        hasher = hashlib.sha256()
        async for chunk in chunks:
            hasher.update(chunk)
    assert hasher.hexdigest() == hashlib.sha256(block * 19 + b"end").hexdigest()


@pytest.mark.parametrize("mebibytes", [5, 10])
async def test_an_exact_multiple_of_the_part_size_arrives_whole(store: Store, mebibytes: int) -> None:
    put = await store.put("a/even", body(*[bytes(MIB)] * mebibytes))
    assert put.size == mebibytes * MIB


async def test_the_etag_follows_the_content(store: Store) -> None:
    first = await store.put("a/file", body(b"one"), 3)
    other = await store.put("a/file", body(b"two"), 3)
    again = await store.put("a/file", body(b"one"), 3)
    assert first.etag != other.etag
    assert first.etag == again.etag


async def test_a_span_is_read_alone(store: Store) -> None:
    await store.put("a/file", body(b"0123456789"), 10)
    assert await content(store, "a/file", Span(2, 5)) == b"234"
    assert await content(store, "a/file", Span(9, 10)) == b"9"
    assert await content(store, "a/file", Span(0, 10)) == b"0123456789"


@pytest.mark.parametrize("chunks", [(), (b"x",), (b"x" * MIB, b"y" * MIB)])
@pytest.mark.parametrize("known", [True, False])
async def test_a_body_that_fails_leaves_nothing(store: Store, chunks: tuple[bytes, ...], known: bool) -> None:
    size = sum(len(chunk) for chunk in chunks) if known else None
    with pytest.raises(Malformed, match="not good"):
        await store.put("a/file", failing(*chunks), size)
    assert await store.stat("a/file") is None
    assert await keys(store, "") == []


async def test_a_body_in_parts_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(Malformed, match="not good"):
        await store.put("a/file", failing(*[bytes(MIB)] * 17))
    assert await keys(store, "") == []


async def test_a_body_that_fails_leaves_what_was_there(store: Store) -> None:
    await store.put("a/file", body(b"old"), 3)
    with pytest.raises(Malformed, match="not good"):
        await store.put("a/file", failing(b"new"), 3)
    assert await content(store, "a/file") == b"old"


@pytest.mark.parametrize("declared", [2, 4])
async def test_a_body_of_another_size_than_declared_is_malformed(store: Store, declared: int) -> None:
    with pytest.raises(Malformed, match="declared"):
        await store.put("a/file", body(b"one"), declared)
    assert await store.stat("a/file") is None


async def test_a_listing_is_in_the_order_of_bytes_and_pages_without_gaps(store: Store) -> None:
    names = ["a", "b/c", "b/d/e", "b-c", "b0", "é", "z z", "日本/語"]
    for name in names:
        await store.put(f"list/{name}", body(b"x"), 1)
    await store.put("other/a", body(b"x"), 1)
    everything = sorted((f"list/{name}" for name in names), key=str.encode)
    assert await keys(store, "list/") == everything
    pages: list[str] = []
    while page := await keys(store, "list/", pages[-1] if pages else "", 3):
        pages += page
    assert pages == everything


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("p/", ["p/ab/x", "p/abc", "p/b"]),
        ("p/a", ["p/ab/x", "p/abc"]),
        ("p/ab/", ["p/ab/x"]),
        ("p/abc", ["p/abc"]),
        ("p/c", []),
        ("q/", []),
    ],
)
async def test_a_prefix_may_end_within_a_name(store: Store, prefix: str, found: list[str]) -> None:
    for key in ("p/ab/x", "p/abc", "p/b"):
        await store.put(key, body(b"x"), 1)
    assert await keys(store, prefix) == found


async def test_a_listing_describes_files_as_stat_does(store: Store) -> None:
    await store.put("a/file", body(b"12345"), 5)
    [listed] = [stat async for stat in store.list("a/")]
    found = await store.stat("a/file")
    assert found is not None
    assert (listed.key, listed.size, listed.etag) == (found.key, found.size, found.etag)
    assert int(listed.modified) == int(found.modified)


@pytest.mark.parametrize("name", ["a b+c%20&d=e?f#g.txt", "日本語/ф", "%2e%2e", "~!'()*;:@$,[]", "n" * 250])
async def test_every_acceptable_name_works(store: Store, name: str) -> None:
    key = f"names/{name}"
    await store.put(key, body(b"hello"), 5)
    assert await content(store, key) == b"hello"
    assert await keys(store, "names/") == [key]
    found = await store.stat(key)
    assert found is not None
    await store.copy(found, "copied/x")
    await store.delete(key)
    assert await store.stat(key) is None
    assert await content(store, "copied/x") == b"hello"


async def test_deleting_is_repeatable(store: Store) -> None:
    await store.put("a/b/file", body(b"x"), 1)
    await store.delete("a/b/file")
    await store.delete("a/b/file")
    assert await store.stat("a/b/file") is None
    assert await keys(store, "") == []


async def test_a_copy_does_not_change_with_its_source(store: Store) -> None:
    source = await store.put("a/source", body(b"first"), 5)
    await store.put("b/target", body(b"was here"), 8)
    copied = await store.copy(source, "b/target")
    assert (copied.key, copied.size, copied.etag) == ("b/target", 5, source.etag)
    await store.put("a/source", body(b"second"), 6)
    assert await content(store, "b/target") == b"first"
    await store.delete("a/source")
    assert await content(store, "b/target") == b"first"


async def test_a_copy_onto_the_same_content_is_repeatable(store: Store) -> None:
    source = await store.put("a/source", body(b"first"), 5)
    await store.copy(source, "b/target")
    await store.copy(source, "b/target")
    assert await keys(store, "") == ["a/source", "b/target"]
    assert await content(store, "b/target") == b"first"


async def test_what_is_gone_is_not_found(store: Store) -> None:
    stat = await store.put("a/file", body(b"x"), 1)
    await store.delete("a/file")
    with pytest.raises(NotFound):
        async with store.get(stat):
            pytest.fail("it is gone")
    with pytest.raises(NotFound):
        await store.copy(stat, "b/file")


async def test_what_was_replaced_is_not_mixed_up(store: Store) -> None:
    stat = await store.put("a/file", body(b"x"), 1)
    await store.put("a/file", body(b"longer"), 6)
    with pytest.raises(Unavailable):
        async with store.get(stat):
            pytest.fail("it is another file by now")


@pytest.mark.parametrize(("first", "second"), [("a/name", "a/name/file"), ("a/name/file", "a/name")])
async def test_a_file_named_like_a_folder_is_a_conflict_or_both_can_be_read(
    store: Store, first: str, second: str
) -> None:
    await store.put(first, body(b"x"), 1)
    try:
        await store.put(second, body(b"y"), 1)
    except Conflict:
        assert await keys(store, "a/") == [first]
    else:
        assert await content(store, second) == b"y"
    assert await content(store, first) == b"x"


async def test_an_s3_store_that_is_away_is_unavailable() -> None:
    settings = Settings.from_values(store="s3://a:secret-key@127.0.0.1:1/bucket")
    async with open_store(settings, TokenSigner("secret")) as away:
        for call in (away.ready(), away.stat("k"), away.delete("k"), away.put("k", body(b"x"), 1)):
            with pytest.raises(Unavailable):
                await call
        with pytest.raises(Unavailable):
            await keys(away, "")


async def test_a_missing_bucket_is_made(minio_url: str) -> None:
    address = S3Address.from_url(f"{minio_url}-made")
    server = Minio(address.host, address.access, address.secret, secure=False)
    async with open_store(Settings.from_values(store=f"{minio_url}-made"), TokenSigner("secret")) as store:
        await store.ready()
        await store.ready()
    assert server.bucket_exists(address.bucket)
    server.remove_bucket(address.bucket)


async def test_links_of_an_s3_store_work_and_end(minio_url: str) -> None:
    host = minio_url.rpartition("@")[2].partition("/")[0].replace("127.0.0.1", "localhost")
    settings = Settings.from_values(store=minio_url, store_public_url=f"http://{host}")
    async with open_store(settings, TokenSigner("secret")) as store, aiohttp.ClientSession() as session:
        put = await store.link("PUT", "a/é x", 60, "public")
        assert put.startswith(f"http://{host}/")
        async with session.put(put, data=b"linked", skip_auto_headers=["Content-Type"]) as answer:
            assert answer.status == 200
        assert await content(store, "a/é x") == b"linked"
        inside = await store.link("GET", "a/é x", 60, "inside")
        assert inside.startswith("http://127.0.0.1:")
        async with session.get(inside) as answer:
            assert (answer.status, await answer.read()) == (200, b"linked")
        async with session.get(put) as answer:
            assert answer.status == 403


async def test_links_lead_through_databox_where_callers_do_not_reach_the_s3_server(minio_url: str) -> None:
    signer = TokenSigner("secret")
    async with open_store(Settings.from_values(store=minio_url, public_url="https://mesh.example"), signer) as store:
        link = await store.link("PUT", "a/b", 60, "public", 7)
        place, _, token = link.rpartition("/")
        assert (place, verify_link(signer, token, "PUT", time.time()).key) == ("https://mesh.example/links", "a/b")
        assert "X-Amz-Signature" in await store.link("GET", "a/b", 60, "inside")
