"""Predictions that are runs."""

from __future__ import annotations

import json

from libs.common.signed_tokens import GrantSigner
from tests.scheduler.conftest import ALICE, OWNER, Mesh
from tests.scheduler.scenarios.test_runs import go_live

PATH = "/internal/apps/leaf/apis/echo/calls"


async def test_a_prediction_becomes_a_run_whose_result_is_the_answer(mesh: Mesh) -> None:
    await go_live(mesh)
    headers = {**ALICE, "Idempotency-Key": "k"}
    status, run, finished = await mesh.call("POST", PATH, {"inputs": [1]}, headers)
    assert (status, finished["Location"], run["result"]) == (202, f"/leaf/runs/{run['id']}", None)
    assert mesh.services.stored == [(f"runs/{run['id']}/request/body.json", b'{"inputs":[1]}')]
    assert (await mesh.call("POST", PATH, {"inputs": [1]}, headers))[1]["id"] == run["id"]
    (unused,) = [path.removesuffix("/request/body.json") for path, _ in mesh.services.stored[1:]]
    assert mesh.services.removals == [(f"/internal/apps/leaf/areas/{unused}", None)]
    assert (await mesh.call("POST", PATH, {"inputs": [2]}, headers))[0] == 422
    lease = await mesh.claim(kind="stage")
    call = lease["spec"]["call"]
    grant = GrantSigner("t").verify(call["grant"], 0.0)
    assert (call["path"], grant and (grant.app, grant.user, grant.api_path)) == ("echo", ("leaf", "alice", "echo"))
    assert lease["spec"]["inputs"][0]["source"] == {"area": f"runs/{run['id']}/request", "file": "body.json"}
    await mesh.report(lease, "succeeded", answer={"outputs": [{"name": "x"}]})
    echo = {**ALICE, "X-Mlmesh-Pipelines": "echo"}
    shown = (await mesh.call("GET", f"/internal/apps/leaf/runs/{run['id']}", headers=echo))[1]
    assert (shown["status"], shown["pipeline"], shown["result"]) == ("succeeded", "echo", {"outputs": [{"name": "x"}]})
    run_list = (await mesh.call("GET", "/internal/apps/leaf/runs", headers=echo))[1]
    assert [(item["id"], item["result"]) for item in run_list["items"]] == [(run["id"], None)]


RAISED = {"code": "error", "detail": "The function raised.", "error_id": "e1", "error": "ValueError: secret"}


async def test_what_a_function_raised_is_told_to_owners_and_its_id_to_all(mesh: Mesh) -> None:
    await go_live(mesh)
    alice, owner = ({"X-Mlmesh-User": user, "X-Mlmesh-Pipelines": "echo"} for user in ("alice", "developer"))
    own, api = "/internal/apps/leaf/runs", "/api/v1/apps/leaf/runs"
    seen = {}
    for caller in (alice, owner):
        _, run, _ = await mesh.call("POST", PATH, {"inputs": [1]}, caller)
        await mesh.report(await mesh.claim(kind="stage"), "failed", reason=RAISED)
        seen[caller["X-Mlmesh-User"]] = run["id"]
    for identity, path, headers, told in (
        (seen["alice"], own, alice, None),
        (seen["alice"], api, OWNER, "ValueError: secret"),
        (seen["developer"], own, owner, "ValueError: secret"),
        (seen["developer"], api, OWNER, "ValueError: secret"),
    ):
        run = (await mesh.call("GET", f"{path}/{identity}", headers={**headers, "Prefer": "wait=5"}))[1]
        listed = (await mesh.call("GET", path, headers=headers))[1]["items"]
        async with mesh.peer.stream("GET", f"{path}/{identity}/events", headers=headers) as stream:
            event = (await stream.read()).partition(b"data: ")[2]
        found = [run, next(one for one in listed if one["id"] == identity), json.loads(event)]
        reasons = [why for one in found for why in (one["reason"], one["stages"][0]["reason"])]
        assert {(why["error_id"], why.get("error")) for why in reasons} == {("e1", told)}


async def test_a_run_of_nobodys_is_for_who_knows_its_id_and_in_no_list(mesh: Mesh) -> None:
    await go_live(mesh)
    nobody, alice = ({"X-Mlmesh-User": user, "X-Mlmesh-Pipelines": "echo"} for user in ("anonymous", "alice"))
    runs = "/internal/apps/leaf/runs"
    _, run, _ = await mesh.call("POST", PATH, {"inputs": [1]}, nobody)
    for reader in (nobody, alice):
        assert (await mesh.call("GET", f"{runs}/{run['id']}", headers=reader))[0] == 200
        assert (await mesh.call("GET", runs, headers=reader))[1] == {"items": [], "next": None}
    assert (await mesh.call("GET", f"{runs}/{run['id']}", headers=ALICE))[0] == 404, "another API's credentials"
    _, own, _ = await mesh.call("POST", PATH, {"inputs": [1]}, alice)
    assert (await mesh.call("GET", f"{runs}/{own['id']}", headers=nobody))[0] == 404


async def test_a_key_of_nobodys_makes_no_run(mesh: Mesh) -> None:
    await go_live(mesh)
    nobody = {"X-Mlmesh-User": "anonymous", "X-Mlmesh-Pipelines": "echo", "Idempotency-Key": "k"}
    status, answer, _ = await mesh.call("POST", PATH, {"inputs": [1]}, nobody)
    sentence = "Idempotency-Key: not available to anonymous callers; leave it out"
    assert (status, answer["detail"]) == (422, sentence)
    assert (await mesh.call("GET", "/api/v1/apps/leaf/runs", headers=OWNER))[1]["items"] == []


async def test_a_prediction_without_a_body_is_one_without_inputs(mesh: Mesh) -> None:
    await go_live(mesh)
    assert (await mesh.send("POST", PATH, b"", ALICE))[0] == 202
    assert [content for _, content in mesh.services.stored] == [b"{}"]


async def test_a_prediction_that_cannot_be_a_run_is_refused(mesh: Mesh) -> None:
    await go_live(mesh)
    assert (await mesh.call("POST", "/internal/apps/leaf/apis/none/calls", {}))[0] == 404
    assert (await mesh.send("POST", PATH, b"{", ALICE))[0] == 400
    assert (await mesh.send("POST", PATH, b'"' + b"x" * 10_000_000 + b'"', ALICE))[0] == 413
    listed = (await mesh.call("GET", "/internal/apps/leaf/runs", headers={**ALICE, "X-Mlmesh-Pipelines": "*"}))[1]
    assert listed["items"] == []
