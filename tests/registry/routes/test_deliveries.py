"""The log of webhook deliveries: what owners read, what strangers cannot do to it, and its limits."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from libs.common import identity
from services.registry.db.deliveries import MAX_REFUSED, MAX_REFUSED_PER_MINUTE
from services.registry.deliveries import Delivery
from services.registry.delivery_log import MAX_PER_MINUTE
from services.registry.routes.hooks import AUTHORIZATION
from tests.registry.conftest import ApiResponse, Registry
from tests.registry.routes.test_hooks import Forge, attach_app
from tests.registry.working_copy import WorkingCopy

LOG = "/api/v1/apps/leafscan/deliveries"


async def list_deliveries(registry: Registry) -> Any:
    return (await registry.get(LOG))["items"]


async def test_every_delivery_is_in_the_log_newest_first(each_registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(each_registry, working_copy)
    await forge.send({"zen": "Design for failure."}, event="ping", delivery="one")
    pushed = await forge.push(working_copy.commit({}), delivery="two")
    await forge.send({"ref": "refs/heads/side", "after": "1" * 40}, delivery="three")
    await forge.send(b"nonsense", delivery="four")
    items = await list_deliveries(each_registry)
    assert all(item.pop("received_at").endswith("Z") for item in items)
    refused = items[0].pop("id")
    assert refused not in ("four", None)
    common = {"forge": "github", "deployment": None, "failed": None}
    push = {**common, "event": "push"}
    failed = {"check": "body", "detail": "the webhook's body is not a JSON object"}
    assert items == [
        {**push, "ref": None, "delivery": "four", "status": 400, "failed": failed},
        {**push, "id": "three", "ref": "refs/heads/side", "delivery": "three", "status": 204},
        {
            **push,
            "id": "two",
            "ref": "refs/heads/main",
            "delivery": "two",
            "status": 202,
            "deployment": pushed.body["id"],
        },
        {**common, "event": "ping", "id": "one", "ref": None, "delivery": "one", "status": 200},
    ]


async def test_a_refusal_says_what_to_set_and_is_not_taken_for_a_repetition(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    forge = await attach_app(registry, working_copy)
    valid_secret, forge.secret = forge.secret, "wrong"
    commit = working_copy.commit({})
    refused = await forge.push(commit, delivery="one")
    detail = (
        "X-Hub-Signature-256 does not fit the body and the webhook's secret; "
        "set the webhook's secret in the field Secret of its webhook"
    )
    assert (refused.status, refused.body["check"], refused.body["detail"]) == (401, "X-Hub-Signature-256", detail)
    forge.secret = valid_secret
    assert (await forge.push(commit, delivery="one")).status == 202
    accepted, first = await list_deliveries(registry)
    assert (first["failed"], first["delivery"], first["ref"]) == (
        {"check": "X-Hub-Signature-256", "detail": detail},
        "one",
        None,
    )
    assert (accepted["id"], accepted["failed"]) == ("one", None)
    assert valid_secret not in str((accepted, first))


async def test_only_owners_are_told_that_the_secret_here_has_no_value(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy)
    declared = (
        "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: hook, namespace: leafscan}\n"
        "spec: {keys: [secret]}\n---\n"
        "apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {name: leafscan, namespace: leafscan}\n"
        f"spec: {{url: '{working_copy.url}', pollInterval: 1h, webhook: {{secret: hook}}}}\n"
    )
    assert (await registry.call("POST", "/api/v1/apply", declared)).status == 200
    answer = await Forge(registry, "any").push("1" * 40)
    assert "no value" not in answer.body["detail"]
    (item,) = await list_deliveries(registry)
    assert item["failed"]["detail"].endswith("; the webhook's Secret has no value here yet")


async def test_a_stranger_can_neither_fill_the_log_nor_keep_the_forge_out(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    forge = await attach_app(each_registry, working_copy)
    stranger = Forge(each_registry, "guessed")
    for number in range(MAX_REFUSED_PER_MINUTE + 5):
        assert (await stranger.push("1" * 40, delivery=f"{number}")).status == 401
    assert (await forge.push(working_copy.commit({}), delivery="ours")).status == 202
    items = await list_deliveries(each_registry)
    assert [item["delivery"] for item in items] == ["ours", *map(str, range(MAX_REFUSED_PER_MINUTE - 1, -1, -1))]


async def add_rows(registry: Registry, rows: Sequence[Delivery], seconds_ago: float = 0.0) -> None:
    """Into the log, a millisecond apart."""
    from libs.common.db import Database, database_time
    from services.registry.db import deliveries

    database = Database(registry.settings.database_url)
    async with database.write() as conn:
        now = await database_time(conn) - seconds_ago
        for number, row in enumerate(rows):
            add = deliveries.add_accepted if row.status < 400 else deliveries.add_refused
            await add(conn, row, now + number / 1000)
    await database.close()


async def test_of_refused_deliveries_the_newest_are_kept(each_registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(each_registry, working_copy)
    refused = [Delivery(f"r{number}", "leafscan", 401) for number in range(MAX_REFUSED + 10)]
    await add_rows(each_registry, refused, seconds_ago=1000)
    await forge.push(working_copy.commit({}), delivery="ours")
    items = await list_deliveries(each_registry)
    assert [item["id"] for item in items] == ["ours", *(f"r{number}" for number in range(MAX_REFUSED + 9, 9, -1))]


def make_accepted(number: int) -> list[Delivery]:
    return [Delivery(f"delivery-{index}", "leafscan", 204) for index in range(number)]


async def test_an_app_accepts_60_deliveries_a_minute(each_registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(each_registry, working_copy)
    await add_rows(each_registry, make_accepted(MAX_PER_MINUTE - 1), seconds_ago=30)
    side = {"ref": "refs/heads/side", "after": "1" * 40}
    assert (await forge.send(side, delivery="the last")).status == 204
    refused = await forge.push(working_copy.commit({}), delivery="late")
    assert (refused.status, refused.body["check"], refused.body["retryable"]) == (429, "rate", True)
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert (await forge.send(side, delivery="delivery-1")).status == 200
    newest = (await list_deliveries(each_registry))[0]
    assert (newest["delivery"], newest["status"], newest["failed"]["check"]) == ("late", 429, "rate")


async def test_deliveries_of_an_hour_ago_do_not_count(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    await add_rows(registry, make_accepted(MAX_PER_MINUTE), seconds_ago=3600)
    assert (await forge.push(working_copy.commit({}), delivery="ours")).status == 202


async def test_of_several_deliveries_at_once_no_more_are_accepted(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    forge = await attach_app(each_registry, working_copy)
    await add_rows(each_registry, make_accepted(MAX_PER_MINUTE - 3), seconds_ago=1)
    commit = working_copy.commit({})
    answers = await asyncio.gather(*(forge.push(commit, delivery=f"{number}") for number in range(6)))
    assert Counter(answer.status for answer in answers) == {202: 3, 429: 3}


async def redeliver(registry: Registry, delivery: str) -> ApiResponse:
    return await registry.call("POST", f"{LOG}/{delivery}/redeliver")


async def test_a_delivery_is_redelivered_as_a_sync(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    stranger = Forge(registry, "guessed")
    await stranger.push("1" * 40)
    commit = working_copy.commit({})
    (refused,) = await list_deliveries(registry)
    answer = await redeliver(registry, refused["id"])
    assert (answer.status, answer.body["trigger"]) == (202, "sync")
    assert answer.headers["Location"] == f"/api/v1/apps/leafscan/deployments/{answer.body['id']}"
    assert (await registry.wait_for_status("starting", deployment=answer.body["id"]))["commit"] == commit
    await registry.make_live()
    await forge.push(commit, delivery="{of-bitbucket}")
    again = await redeliver(registry, "%7Bof-bitbucket%7D")
    assert (again.status, again.body["trigger"]) == (202, "sync")


async def test_what_is_not_there_is_404(registry: Registry, working_copy: WorkingCopy) -> None:
    await attach_app(registry, working_copy)
    answer = await redeliver(registry, "none")
    assert (answer.status, answer.body["detail"]) == (404, 'leafscan has no delivery "none"')
    assert (await registry.call("GET", "/api/v1/apps/nobody/deliveries")).status == 404
    assert (await registry.call("POST", "/api/v1/apps/nobody/deliveries/x/redeliver")).status == 404


async def test_reading_needs_read_and_redelivering_write(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    await forge.push(working_copy.commit({}), delivery="one")
    for scope, read, write in (("read:leafscan", 200, 403), ("write:other", 403, 403), ("write:leafscan", 200, 202)):
        headers = {identity.HEADER_SCOPES: scope}
        assert (await registry.call("GET", LOG, headers=headers)).status == read
        assert (await registry.call("POST", f"{LOG}/one/redeliver", headers=headers)).status == write


async def test_a_delivery_with_a_bearer_token_is_logged_too(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    for _ in range(2):
        answer = await registry.call("POST", "/hooks/leafscan", None, {AUTHORIZATION: f"Bearer {forge.secret}"})
        assert answer.status == 200
    items = await list_deliveries(registry)
    assert [(item["forge"], item["event"], item["ref"], item["delivery"], item["status"]) for item in items] == [
        ("unknown", "push", None, None, 200)
    ] * 2
    assert items[0]["id"] != items[1]["id"]
