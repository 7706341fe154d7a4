"""Runs from the outside: they run, leases are kept and lost, and their callers are told."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from libs.common.errors import Conflict
from services.scheduler.tasks import ready_publisher
from tests.scheduler.conftest import ALICE, OWNER, SHORT_LEASE_S, Mesh, healthy_status

BODY = {"inputs": {"raw": "in/a.csv"}, "outputs": {"model": "weights"}}


async def go_live(mesh: Mesh) -> dict[str, Any]:
    """The module rolled out; its lease of the component without a model."""
    mesh.services.access = {"leaf": {"users": {"callers": {"alice": "hash"}}, "keys": {"k": "bob"}, "secrets": {}}}
    mesh.services.version = 1
    mesh.services.files.add("in/a.csv")
    await mesh.deploy("d1")
    lease = await mesh.claim()
    await mesh.send_heartbeat(healthy_status(lease, openapi={"openapi": "3.1.0"}))
    await mesh.until_live("d1")
    return lease


async def test_a_run_goes_through_its_stages_and_publishes_its_outputs(mesh: Mesh) -> None:
    await go_live(mesh)
    status, run, headers = await mesh.submit(BODY)
    assert (status, headers["Location"], run["status"]) == (202, f"/leaf/runs/{run['id']}", "queued")
    prepare = await mesh.claim(kind="stage")
    assert (prepare["kind"], prepare["spec"]["stage"]) == ("stage", "prepare")
    have = {"task": prepare["task"], "token": prepare["token"], "state": "running", "progress": [3, 10]}
    await mesh.send_heartbeat(have)
    seen = await mesh.get_run(run["id"])
    assert (seen["status"], seen["stages"][0]["progress"]) == ("running", [3, 10])
    await mesh.report(prepare, "succeeded", outputs={"features": {"files": 1, "bytes": 9}})
    train = await mesh.claim(kind="stage")
    assert train["spec"]["inputs"][0]["source"] == {"area": f"runs/{run['id']}/prepare/{prepare['token']}/features"}
    await mesh.report(train, "succeeded")
    await mesh.until(lambda: mesh.has_status(run["id"], "succeeded"))
    target = {"box": "data", "user": "alice", "group": "weights"}
    assert [moves[0]["target"] for _, moves in mesh.services.publications] == [target]


async def test_a_body_that_no_document_could_hold_is_refused(mesh: Mesh) -> None:
    await go_live(mesh)
    value: dict[str, Any] = {}
    for _ in range(125):
        value = {"a": value}
    status, answer, _ = await mesh.submit({**BODY, "inputs": {"raw": value}})
    assert (status, [error["input"] for error in answer["errors"]]) == (422, ["raw"])
    status, answer, _ = await mesh.submit({**BODY, "inputs": {"raw": {"a": value}}})
    assert (status, answer["detail"]) == (422, "the body is nested more than 128 levels deep")


async def test_a_stage_that_exits_3_fails_the_run_with_code_and_log(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    lease = await mesh.claim()
    why = {"code": "error", "detail": "boom", "exit_code": 3}
    await mesh.report(lease, "failed", reason=why, log_tail=["boom"], progress=[4, 4])
    seen = await mesh.get_run(run["id"])
    assert (seen["status"], seen["progress"], seen["stages"][0]["progress"]) == ("failed", [0, 2], [4, 4])
    assert seen["reason"] == {**why, "stage": "prepare", "log_tail": ["boom"]}
    assert [stage["status"] for stage in seen["stages"]] == ["failed", "skipped"]


async def test_outputs_over_quota_fail_the_stage_with_the_figures(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.services.has_quota = False
    _, run, _ = await mesh.submit(BODY)
    await mesh.report(await mesh.claim(), "succeeded")
    await mesh.report(await mesh.claim(), "succeeded")
    await mesh.until(lambda: mesh.has_status(run["id"], "failed"))
    reason = (await mesh.get_run(run["id"]))["reason"]
    assert (reason["code"], reason["used"], reason["stage"]) == ("quota", 9, "train")


@pytest.mark.settings(lease=SHORT_LEASE_S)
async def test_a_silent_workers_stage_is_given_to_another_and_its_late_report_is_refused(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    first = await mesh.claim("w1")
    second = await mesh.claim("w2", "stage")
    assert (second["task"], second["token"]) == (first["task"], first["token"] + 1)
    with pytest.raises(Conflict):
        await mesh.report(first, "succeeded", "w1")
    orders = await mesh.send_heartbeat({"task": first["task"], "token": first["token"], "state": "running"})
    assert orders["gone"] == [{"task": first["task"], "token": first["token"]}]
    await mesh.report(second, "succeeded", "w2")
    assert (await mesh.get_run(run["id"]))["stages"][0]["status"] == "succeeded"


async def test_cancel_reaches_the_worker_at_once_and_is_idempotent(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    lease = await mesh.claim()
    address = f"/internal/apps/leaf/runs/{run['id']}/cancel"
    status, seen, _ = await mesh.call("POST", address)
    assert (status, seen["status"]) == (202, "canceling")
    have = {"task": lease["task"], "token": lease["token"], "state": "running"}
    assert (await mesh.send_heartbeat(have, wait=5.0))["stop"] == [{"task": lease["task"], "token": lease["token"]}]
    await mesh.report(lease, "canceled")
    seen = await mesh.get_run(run["id"])
    assert (seen["status"], [stage["status"] for stage in seen["stages"]]) == ("canceled", ["canceled", "canceled"])
    assert (await mesh.call("POST", address))[0] == 202


async def test_a_finished_run_cannot_be_canceled_but_a_failed_one_retried(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    await mesh.report(await mesh.claim(), "failed", reason={"code": "error", "detail": "x"})
    address = f"/internal/apps/leaf/runs/{run['id']}"
    assert (await mesh.call("POST", f"{address}/cancel"))[0] == 409
    status, seen, _ = await mesh.call("POST", f"{address}/retry")
    assert (status, seen["attempt"], seen["status"]) == (202, 2, "queued")
    await mesh.report(await mesh.claim(), "succeeded")
    await mesh.report(await mesh.claim(), "succeeded")
    await mesh.until(lambda: mesh.has_status(run["id"], "succeeded"))
    assert (await mesh.call("POST", f"{address}/retry"))[0] == 409


async def test_a_submission_that_does_not_fit_names_the_input_and_makes_no_run(mesh: Mesh) -> None:
    await go_live(mesh)
    status, problem, _ = await mesh.submit({"inputs": {"raw": "in/missing.csv"}})
    message = {"input": "raw", "message": "data/in/missing.csv does not exist"}
    assert (status, problem["errors"]) == (422, [message])
    listed = (await mesh.call("GET", "/internal/apps/leaf/runs"))[1]
    assert listed == {"items": [], "next": None}


async def test_an_output_for_which_no_room_is_left_is_refused_before_the_work(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.services.has_space = False
    status, problem, _ = await mesh.submit(BODY)
    assert (status, problem["errors"]) == (422, [{"input": "model", "message": "box data is full"}])
    assert (await mesh.call("GET", "/internal/apps/leaf/runs"))[1]["items"] == []
    mesh.services.has_space = True
    assert (await mesh.submit(BODY))[0] == 202


async def test_an_idempotency_key_answers_with_the_first_run(mesh: Mesh) -> None:
    await go_live(mesh)
    first = (await mesh.submit(BODY, **{"Idempotency-Key": "k1"}))[1]
    again = (await mesh.submit(BODY, **{"Idempotency-Key": "k1"}))[1]
    assert first["id"] == again["id"]
    other = {**BODY, "priority": 3}
    assert (await mesh.submit(other, **{"Idempotency-Key": "k1"}))[0] == 422


async def test_runs_are_listed_in_pages_newest_first(mesh: Mesh) -> None:
    await go_live(mesh)
    made = [(await mesh.submit(BODY))[1]["id"] for _ in range(3)]
    first = (await mesh.call("GET", "/internal/apps/leaf/runs", limit=2))[1]
    second = (await mesh.call("GET", "/internal/apps/leaf/runs", limit=2, cursor=first["next"]))[1]
    assert [run["id"] for run in first["items"] + second["items"]] == made[::-1]
    assert (await mesh.call("GET", "/internal/apps/leaf/runs", cursor="forged"))[0] == 400


@pytest.mark.parametrize("owner", [True, False])
async def test_links_lead_through_all_pages_with_their_filters(mesh: Mesh, owner: bool) -> None:
    await go_live(mesh)
    wanted = {"labels": {"a b&c": "\u00e9=%1"}}
    made = []
    for number in range(5):
        made.append((await mesh.submit(BODY | (wanted if number != 2 else {})))[1]["id"])
    headers = OWNER if owner else ALICE
    public, internal = ("/api/v1/apps/leaf/runs",) * 2 if owner else ("/leaf/runs", "/internal/apps/leaf/runs")
    asked = {
        "label": "a b&c=\u00e9=%1", "status": "queued", "pipeline": "train", "limit": "1",
        "created_after": "2020-01-01T00:00:00+00:00",
    }  # fmt: skip
    found, query = [], asked
    while query:
        status, body, answered = await mesh.call("GET", internal, headers=headers, **query)
        assert status == 200, body
        found += [run["id"] for run in body["items"]]
        link = answered.get("Link")
        assert (link is None) == (body["next"] is None)
        query = {}
        if link:
            target = urlsplit(link.removesuffix('>; rel="next"').removeprefix("<"))
            query = dict(parse_qsl(target.query))
            assert (target.path, query) == (public, {**asked, "cursor": body["next"]})
    assert found == [one for one in made[::-1] if one != made[2]]


CURSORS = ["", "forged", "MWU5OTkgcl94", "aW5mIHJfeA", "bmFuIHJfeA", "\u00e9", "=", "a" * 5000, "AAAA"]


@pytest.mark.parametrize("path", ["/internal/apps/leaf/runs", "/api/v1/apps/leaf/runs"])
@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        *(({"cursor": one}, "invalid cursor; start again without a cursor") for one in CURSORS),
        ({"label": "\0"}, "U+0000"),
        ({"pipeline": "a\0b"}, "U+0000"),
        ({"status": "\0"}, "U+0000"),
        ({"status": "done"}, "status: one of queued, running"),
        ({"created_after": "\u0661"}, "created_after: write a time"),
        ({"created_after": "yesterday"}, "created_after: write a time"),
    ],
)
async def test_a_parameter_that_cannot_be_is_400_with_a_sentence(
    mesh: Mesh, path: str, parameters: dict[str, str], sentence: str
) -> None:
    status, problem, _ = await mesh.call("GET", path, headers=OWNER | ALICE, **parameters)
    assert (status, sentence in problem["detail"]) == (400, True), problem


@pytest.mark.parametrize("label", ['a"b', "a'b", "$", "a.b", "[0]", '"', "\\", "%", "a=b=c", "="])
async def test_any_text_can_be_looked_for_among_the_labels(mesh: Mesh, label: str) -> None:
    await go_live(mesh)
    key, _, value = label.partition("=")
    made = (await mesh.submit({**BODY, "labels": {key: value or "x"}}))[1]["id"]
    await mesh.submit({**BODY, "labels": {"other": "x"}})
    status, body, _ = await mesh.call("GET", "/internal/apps/leaf/runs", label=label)
    assert (status, [run["id"] for run in body["items"]]) == (200, [made])


@pytest.mark.parametrize(
    "identity",
    ["words:\u00b2:0", "only:1:9999999999999", "prepare:9:0", "prepare:1:1", "none:1:0", "prepare:1", "x" * 9000],
)
async def test_a_made_up_place_in_a_log_is_400(mesh: Mesh, identity: str) -> None:
    await go_live(mesh)
    run = (await mesh.submit(BODY))[1]["id"]
    headers = ALICE | {"Last-Event-ID": identity}
    path = f"/internal/apps/leaf/runs/{run}/logs"
    status, problem, _ = await mesh.call("GET", path, headers=headers, follow="true")
    assert (status, problem["detail"][:36]) == (400, "Last-Event-ID: not an id of this str")


async def test_runs_are_found_by_a_label(mesh: Mesh) -> None:
    await go_live(mesh)
    made = [(await mesh.submit({**BODY, "labels": {"of.team": team}}))[1]["id"] for team in ("a", "b", 'a"b')]
    await mesh.submit(BODY)

    async def found(label: str) -> list[str]:
        path = "/internal/apps/leaf/runs"
        return [run["id"] for run in (await mesh.call("GET", path, label=label))[1]["items"]]

    assert await found("of.team=b") == [made[1]]
    assert await found('of.team=a"b') == [made[2]]
    assert await found("of.team") == made[::-1]
    assert await found("other") == []


async def test_a_caller_sees_only_their_own_runs_and_an_owner_sees_all(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    other = {"X-Mlmesh-User": "bob", "X-Mlmesh-Pipelines": "train"}
    assert (await mesh.call("GET", f"/internal/apps/leaf/runs/{run['id']}", headers=other))[0] == 404
    status, seen, _ = await mesh.call("GET", f"/api/v1/apps/leaf/runs/{run['id']}", headers=OWNER)
    assert (status, seen["user"]) == (200, "alice")
    assert (await mesh.call("GET", "/api/v1/apps/leaf/runs", headers=other))[0] == 403


async def test_an_unknown_run_and_an_unknown_api_are_404(mesh: Mesh) -> None:
    await go_live(mesh)
    assert (await mesh.call("GET", "/internal/apps/leaf/runs/r_none"))[0] == 404
    assert (await mesh.call("POST", "/internal/apps/leaf/apis/none/runs", BODY))[0] == 404


async def test_queues_show_what_waits_and_what_nobody_could_use(mesh: Mesh) -> None:
    await go_live(mesh)
    await mesh.submit(BODY)
    async with mesh.bus.consume(ready_publisher.task_queue("cpu")) as consumer:
        await (await consumer.next()).reject("poisoned")
    cpu, gpu = (await mesh.call("GET", "/api/v1/queues", headers=OWNER))[1]["items"]
    assert (cpu["name"], cpu["depth"], cpu["dead"], cpu["oldest"] is not None) == ("tasks.cpu", 1, 1, True)
    assert (gpu["name"], gpu["depth"], gpu["dead"], gpu["oldest"]) == ("tasks.gpu", 0, 0, None)
    (letter,) = (await mesh.call("GET", "/api/v1/queues/tasks.cpu/dead", headers=OWNER))[1]["items"]
    assert (letter["reason"], letter["key"]) == ("poisoned", "task.ready.v1.cpu")
    status, answer, _ = await mesh.call("POST", "/api/v1/queues/tasks.cpu/redrive", headers=OWNER)
    assert (status, answer) == (202, {"name": "tasks.cpu", "redriven": 1})
    assert (await mesh.call("GET", "/api/v1/queues/tasks.cpu/dead", headers=OWNER))[1]["items"] == []
    assert (await mesh.call("POST", "/api/v1/queues/none/redrive", headers=OWNER))[0] == 404


async def test_a_program_that_writes_the_character_zero_ends_like_any_other(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    lease = await mesh.claim()
    have = {"task": lease["task"], "token": lease["token"], "state": "running", "detail": "a\0b", "progress": [1, 2]}
    await mesh.send_heartbeat(have)
    await mesh.report(lease, "failed", reason={"code": "error", "detail": "c\0d"}, log_tail=["\0", "c\0d"])
    seen = await mesh.get_run(run["id"])
    assert (seen["status"], seen["reason"]["detail"].replace("\ufffd", "\0")) == ("failed", "c\0d")


async def test_the_character_zero_is_refused_where_it_cannot_be_kept_or_found(mesh: Mesh) -> None:
    await go_live(mesh)
    many = [mesh.submit({**BODY, "labels": {"n": "a\0b" if n == 3 else "ab"}}) for n in range(6)]
    assert [status for status, _, _ in await asyncio.gather(*many)] == [202, 202, 202, 422, 202, 202]
    for path in ("runs?label=n%3Da%00b", "runs/r_a%00b", "runs?status=a%00b", "runs/r_a%00b/logs"):
        status, _, _ = await mesh.call("GET", f"/internal/apps/leaf/{path}")
        assert status < 500
