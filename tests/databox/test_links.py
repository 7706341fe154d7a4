"""Presigned links of the directory store: method, expiry, size limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.common.errors import Forbidden, Invalid
from libs.common.signed_tokens import InvalidSignature, TokenSigner
from services.databox.links import Link, parse_lifetime, verify_link
from tests.databox.conftest import TOKEN, Databox

SIGNER = TokenSigner(TOKEN)
KEY = "shop/data/users/alice/file_groups/g/f"


@pytest.fixture
def urls(sqlite_url: str, tmp_path: Path) -> tuple[str, str]:
    return sqlite_url, f"file://{tmp_path / 'store'}"


def test_a_link_says_what_was_signed() -> None:
    link = Link("PUT", KEY, 1000, 7)
    assert verify_link(SIGNER, link.to_token(SIGNER), "PUT", 999.9) == link


@pytest.mark.parametrize(
    ("method", "signer", "now", "detail"),
    [
        ("GET", SIGNER, 0, "this link is for PUT only"),
        ("HEAD", SIGNER, 0, "this link is for PUT only"),
        ("PUT", SIGNER, 1000, "this link has expired; ask for a new one"),
        ("PUT", TokenSigner("other"), 0, "this link is not valid"),
    ],
)
def test_a_link_allows_only_its_method_until_it_expires(
    method: str, signer: TokenSigner, now: float, detail: str
) -> None:
    token = Link("PUT", KEY, 1000).to_token(signer)
    with pytest.raises(Forbidden, match=detail):
        verify_link(SIGNER, token, method, now)


def test_a_get_link_allows_head() -> None:
    assert verify_link(SIGNER, Link("GET", KEY, 1000).to_token(SIGNER), "HEAD", 0).key == KEY


@pytest.mark.parametrize("token", ["", "x", "é", "A" * 100, "....", "/", " "])
def test_a_foreign_token_is_forged(token: str) -> None:
    with pytest.raises(InvalidSignature):
        SIGNER.verify("databox link", token)


def test_a_changed_token_is_forged() -> None:
    token = Link("GET", KEY, 1000).to_token(SIGNER)
    for place in range(0, len(token) - 1, 7):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(InvalidSignature):
            SIGNER.verify("databox link", changed)


def test_a_token_is_valid_for_its_purpose_only() -> None:
    with pytest.raises(InvalidSignature):
        SIGNER.verify("databox cursor", Link("GET", KEY, 1000).to_token(SIGNER))


def test_lifetimes_have_limits() -> None:
    assert (parse_lifetime(None), parse_lifetime("1"), parse_lifetime("86400")) == (3600, 1, 86400)
    for text in ("0", "86401", "x", "", "1.5", "-1", "٣"):
        with pytest.raises(Invalid):
            parse_lifetime(text)


def link_url(databox: Databox, link: Link) -> str:
    return f"{databox.url}/links/{link.to_token(SIGNER)}"


async def test_links_are_made_for_their_reader(databox: Databox) -> None:
    link = (await databox.request_file("PUT", "data/g/f")).body["presigned_put_url"]
    assert link.startswith(f"{databox.settings.public_url}/links/")


async def test_links_need_no_other_credential_and_end(databox: Databox) -> None:
    assert (await databox.fetch("PUT", link_url(databox, Link("PUT", KEY, 2e9)), data=b"content")).status == 200
    assert (await databox.fetch("GET", link_url(databox, Link("GET", KEY, 2e9)))).content == b"content"
    for link, detail in (
        (Link("GET", KEY, 1.0), "this link has expired; ask for a new one"),
        (Link("PUT", KEY, 2e9), "this link is for PUT only"),
    ):
        response = await databox.fetch("GET", link_url(databox, link))
        assert (response.status, response.body["detail"]) == (403, detail)
    assert (await databox.fetch("GET", f"{databox.url}/links/forged")).status == 403


async def test_a_download_by_link_is_as_of_a_web_server(databox: Databox) -> None:
    etag = (await databox.put("data/g/f", b"0123456789")).headers["ETag"]
    link = link_url(databox, Link("GET", KEY, 2e9))
    response = await databox.fetch("HEAD", link)
    assert (response.status, response.headers["Content-Length"], response.headers["ETag"]) == (200, "10", etag)
    part = await databox.fetch("GET", link, headers={"Range": "bytes=3-5", "If-Range": etag})
    assert (part.status, part.content, part.headers["Content-Range"]) == (206, b"345", "bytes 3-5/10")
    assert (await databox.fetch("GET", link, headers={"If-None-Match": etag})).status == 304
    assert (await databox.fetch("GET", link_url(databox, Link("GET", KEY + "x", 2e9)))).status == 404


async def test_an_upload_by_link_is_counted_and_limited(databox: Databox) -> None:
    limited = link_url(databox, Link("PUT", KEY, 2e9, 5))
    response = await databox.fetch("PUT", limited, data=b"123456")
    assert (response.status, response.body["limit"]) == (413, 5)
    assert (await databox.fetch("PUT", limited, data=b"12345")).status == 200
    response = await databox.fetch("PUT", link_url(databox, Link("PUT", KEY + "2", 2e9)), data=b"x" * 996)
    assert (response.status, response.body["used"], response.body["capacity"]) == (413, 5, 1000)
    assert await databox.list_names("data/") == ["g/f"]


async def test_an_upload_by_link_publishes_a_file_changed_event(databox: Databox) -> None:
    assert (await databox.fetch("PUT", link_url(databox, Link("PUT", KEY, 2e9)), data=b"x")).status == 200
    assert (await databox.next_change()).box == "data"


async def test_an_empty_upload_by_link_is_an_empty_file(databox: Databox) -> None:
    assert (await databox.fetch("PUT", link_url(databox, Link("PUT", KEY, 2e9)))).status == 200
    assert (await databox.request_file("GET", "data/g/f", query="download=1")).content == b""
