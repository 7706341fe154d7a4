"""Callbacks: what may be asked for, which addresses are reached, and that what happened is told until it is heard."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy

from libs.common.http.public_client import open_public_http
from libs.common.http.server import bind
from services.scheduler.callbacks import signing
from services.scheduler.plans import callback_request
from tests.scheduler.conftest import Mesh
from tests.scheduler.scenarios.test_runs import BODY, go_live

URL = "https://example.com/heard"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("https://example.com", "must be {url, events?, headers?}"),
        ({}, "must be {url, events?, headers?}"),
        ({"url": URL, "method": "GET"}, "must be {url, events?, headers?}"),
        ({"url": "ftp://example.com"}, "url: write an address that begins with https:// or http://"),
        ({"url": "https://"}, "url: write an address that begins with https:// or http://"),
        ({"url": "https://a b/"}, "url: write an address that begins with https:// or http://"),
        ({"url": "https://[::1"}, "url: write an address that begins with https:// or http://"),
        ({"url": "https://example.com:0/"}, "url: write an address that begins with https:// or http://"),
        ({"url": "https://a\\@127.0.0.1/"}, "url: write an address that begins with https:// or http://"),
        ({"url": "https:///path"}, "url: write an address that begins with https:// or http://"),
        ({"url": 5}, "url: write an address that begins with https:// or http://"),
        ({"url": "https://me:secret@example.com/"}, "url: put credentials into headers"),
        ({"url": URL, "events": []}, "events: must be a list of started, succeeded, failed, canceled, expired"),
        ({"url": URL, "events": ["ended"]}, "events: must be a list of started, succeeded, failed, canceled, expired"),
        ({"url": URL, "headers": {"Host": "x"}}, "headers: Host is set by the platform"),
        ({"url": URL, "headers": {"Webhook-Id": "x"}}, "headers: Webhook-Id is set by the platform"),
        ({"url": URL, "headers": {"X": "a\r\nY: b"}}, "headers: 'X' or its value cannot be a header"),
        ({"url": URL, "headers": {"a b": "c"}}, "headers: 'a b' or its value cannot be a header"),
    ],
)
def test_what_cannot_be_a_callback_is_refused_with_what_to_write(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        callback_request.parse_callback(value)


def test_callers_without_a_name_share_no_secret() -> None:
    assert signing.signing_secret("key", "leaf", "alice", "r_1") == signing.signing_secret(
        "key", "leaf", "alice", "r_2"
    )
    assert signing.signing_secret("key", "leaf", "anonymous", "r_1") != signing.signing_secret(
        "key", "leaf", "anonymous", "r_2"
    )


def test_events_may_be_written_with_their_family() -> None:
    assert callback_request.parse_callback({"url": URL, "events": ["run.failed", "started"]}).events == (
        "failed",
        "started",
    )


SPELLINGS = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::ffff:127.0.0.1]"]
SPELLINGS += [
    "127.0.0.\U0001fbf1",
    "\U0001fbf1\U0001fbf2\U0001fbf7.0.0.1",
    "\uff11\uff12\uff17.0.0.1",
    "127。0。0。1",
    "ⓛocalhost",
    "127.0.0.1.",
    "[::ffff:7f00:1]",
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_the_host_reaches_an_internal_address(host: str) -> None:
    async with run_receiver() as receiver, open_public_http([]) as client:
        url = f"http://{host}:{receiver.port}/"
        with pytest.raises(OSError, match=r"is not a public address|not known"):
            await client.send("POST", url, b"", {})
        assert receiver.received == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "localhost", "127.0.0.\U0001fbf1"])
async def test_an_allowed_address_is_called_by_the_name_that_was_given(host: str) -> None:
    async with run_receiver() as receiver, open_public_http(["127.0.0.0/8", "::1/128"]) as client:
        url = f"http://{host}:{receiver.port}/"
        assert (await client.send("POST", url, b"hello", {"X-Who": "me"})).status == 204
        headers, body = receiver.received[0]
        plain = "127.0.0.1" if host == "127.0.0.\U0001fbf1" else host
        assert (headers.getall("Host"), headers["X-Who"], body) == ([f"{plain}:{receiver.port}"], "me", b"hello")


@dataclass
class Receiver:
    port: int
    statuses: list[int] = field(default_factory=list)
    """What it answers next; 204 after these."""
    received: list[tuple[CIMultiDictProxy[str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/heard"

    async def handle(self, request: web.Request) -> web.Response:
        self.received.append((request.headers, await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def run_receiver() -> AsyncIterator[Receiver]:
    bound = bind("127.0.0.1", 0)
    receiver = Receiver(bound.getsockname()[1])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, bound).start()
    try:
        yield receiver
    finally:
        await runner.cleanup()


def expected_signature(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    """As Standard Webhooks 1.0 says, in our own words a second time."""
    text = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


async def _list_delivered(mesh: Mesh, run: str, number: int) -> Any:
    """The deliveries of the run, once so many have been heard and noted."""
    deliveries = (await mesh.call("GET", f"/internal/apps/leaf/runs/{run}/deliveries"))[1]
    return deliveries if [delivery["status"] for delivery in deliveries["items"]] == ["delivered"] * number else None


@pytest.mark.settings(callback_networks="127.0.0.0/8")
async def test_a_run_tells_its_callback_signed_until_it_is_heard(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.callbacks.delivery_transitions.RETRY_DELAYS_S", (0.01,) * 7)
    await go_live(mesh)
    async with run_receiver() as receiver:
        receiver.statuses = [500, 302]
        callback = {"url": receiver.url, "events": ["started", "failed"], "headers": {"X-Who": "me"}}
        status, run, _ = await mesh.submit({**BODY, "callback": callback})
        assert (status, run["callback"]["events"]) == (202, ["failed", "started"])
        lease = await mesh.claim(kind="stage")
        await mesh.until(lambda: _wait_for_received(receiver, 3))
        await mesh.report(lease, "failed", reason={"code": "error", "detail": "boom", "exit_code": 3})
        deliveries = await mesh.until(lambda: _list_delivered(mesh, run["id"], 2))
        assert deliveries["callback"] == run["callback"]
        assert [delivery["event"] for delivery in deliveries["items"]] == ["started", "failed"]
        assert len(receiver.received) == 4
        assert [delivery["status"] for delivery in deliveries["items"][0]["attempts"]] == [500, 302, 204]
        headers, body = receiver.received[-1]
        event = orjson.loads(body)
        assert headers["webhook-signature"] == expected_signature(run["callback"]["secret"], headers, body)
        assert (headers["X-Who"], headers["Content-Type"]) == ("me", "application/cloudevents+json; charset=utf-8")
        assert (event["type"], event["subject"], event["id"]) == ("mlmesh.run.failed", run["id"], headers["webhook-id"])
        assert (event["data"]["status"], event["data"]["reason"]["detail"]) == ("failed", "boom")
        assert len({headers["webhook-id"] for headers, _ in receiver.received[:3]}) == 1
        address = f"/internal/apps/leaf/runs/{run['id']}/deliveries/{deliveries['items'][1]['id']}/redeliver"
        assert (await mesh.call("POST", address))[0] == 202
        await mesh.until(lambda: _wait_for_received(receiver, 5))
        assert receiver.received[-1][0]["webhook-id"] == headers["webhook-id"]
        assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{run['id']}/retry"))[0] == 202
        redelivered = await mesh.claim(kind="stage")
        await mesh.report(redelivered, "failed", reason={"code": "error", "detail": "boom again"})
        await mesh.until(lambda: _wait_for_received(receiver, 7))


async def _wait_for_received(receiver: Receiver, count: int) -> bool:
    return len(receiver.received) >= count


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/",
        "http://localhost:9/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://\U0001fbf1\U0001fbf2\U0001fbf7.0.0.1:9/",
    ],
)
async def test_a_callback_to_an_internal_address_is_refused_and_makes_no_run(mesh: Mesh, url: str) -> None:
    await go_live(mesh)
    status, answer, _ = await mesh.submit({**BODY, "callback": {"url": url}})
    assert (status, answer["errors"][0]["input"]) == (422, "callback")
    assert "address; callbacks reach public addresses, and what MLMESH_CALLBACK_NETWORKS allows" in answer["detail"]
    assert (await mesh.call("GET", "/internal/apps/leaf/runs"))[1]["items"] == []
