"""Runs that continue one another, from the outside: what each is handed, how the chain ends, and its second attempt."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.scheduler.conftest import OWNER, Mesh
from tests.scheduler.manifests import catalog_json

CHAIN = b"""
apiVersion: mlmesh/v1
kind: DataBox
metadata: {name: data}
spec: {s3DefaultStorage: {capacity: 1M}}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: train}
spec:
  connectedBoxes: [data]
  vars: [{name: raw}, {name: model}, {name: rate}]
  stages:
    - {name: fit, image: {existingImageName: i}, entryPoint: fit, inputs: [{name: raw}, {name: rate}], outputs: [{name: model}]}
  continueWith: {experimentPipeline: {name: score}, vars: {weights: model}}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: score}
spec:
  connectedBoxes: [data]
  vars: [{name: weights}, {name: raw}, {name: strict}, {name: marks}]
  stages:
    - {name: mark, image: {existingImageName: i}, entryPoint: mark, inputs: [{name: weights}, {name: raw}, {name: strict}], outputs: [{name: marks}]}
  continueWith: print
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: print}
spec:
  connectedBoxes: [data]
  vars: [{name: marks}, {name: page}]
  stages:
    - {name: print, image: {existingImageName: i}, entryPoint: print, inputs: [{name: marks}], outputs: [{name: page}]}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: train}
spec:
  experimentPipeline: {name: train}
  restfulApi: {path: train, auth: {none: {}}}
  apiSpec:
    inputs:
      - {name: raw, type: {datatypes: [FILE]}}
      - {name: rate, required: false, type: {datatypes: [FP64]}}
      - {name: strict, required: false, type: {datatypes: [dict]}}
    outputs: [{name: marks}, {name: page}]
"""  # noqa: E501
BODY = {"inputs": {"raw": "in/a.csv", "strict": {"on": True}}, "outputs": {"marks": "seen"}}


async def submit_chain(mesh: Mesh) -> str:
    mesh.services.files.add("in/a.csv")
    await mesh.deploy("d1", catalog_json(CHAIN))
    await mesh.until_live("d1")
    status, run, _ = await mesh.submit(BODY)
    assert status == 202
    return str(run["id"])


async def run_stage(mesh: Mesh, stage: str, outcome: str = "succeeded") -> dict[str, Any]:
    lease = await mesh.claim(kind="stage")
    assert lease["spec"]["stage"] == stage
    fields: dict[str, Any] = (
        {} if outcome == "succeeded" else {"reason": {"code": "error", "detail": "boom", "exit_code": 3}}
    )
    await mesh.report(lease, outcome, **fields)
    return lease


def chain_statuses(run: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["pipeline"], item["status"]) for item in run["chain"]]


async def test_each_run_of_a_chain_is_handed_what_the_one_before_had_and_made(mesh: Mesh) -> None:
    first = await submit_chain(mesh)
    assert chain_statuses(await mesh.get_run(first)) == [
        ("train", "queued"),
        ("score", "waiting"),
        ("print", "waiting"),
    ]
    fit = await run_stage(mesh, "fit")
    assert {one["name"]: one["kind"] for one in fit["spec"]["inputs"]} == {"raw": "file"}
    mark = await run_stage(mesh, "mark")
    given = {one["name"]: one for one in mark["spec"]["inputs"]}
    assert given["weights"]["source"] == {"area": f"runs/{first}/fit/{fit['token']}/model"}
    assert (given["raw"]["source"]["file"], given["strict"]["value"]) == ("a.csv", {"on": True})
    run = await mesh.get_run(first)
    assert (run["status"], run["finished_at"]) == ("running", None)
    await run_stage(mesh, "print")
    await mesh.until(lambda: mesh.has_status(first, "succeeded"))
    targets = [moves[0]["target"]["group"] for _, moves in mesh.services.publications]
    assert targets == ["seen", f"runs/{first}/page"]
    run = await mesh.get_run(first)
    assert chain_statuses(run) == [("train", "succeeded"), ("score", "succeeded"), ("print", "succeeded")]
    for one in run["chain"]:  # alice may call train only: what continues it is hers, too
        assert (await mesh.get_run(one["id"]))["chain"] == run["chain"]
    answer = await mesh.call("GET", f"/internal/apps/leaf/runs/{first}/outputs/page")
    assert (answer[0], answer[1]["items"]) == (200, [])


async def test_a_chain_ends_with_the_run_that_failed_and_goes_on_when_that_is_retried(mesh: Mesh) -> None:
    first = await submit_chain(mesh)
    await run_stage(mesh, "fit")
    await run_stage(mesh, "mark", "failed")
    await mesh.until(lambda: mesh.has_status(first, "failed"))
    run = await mesh.get_run(first)
    second = run["chain"][1]["id"]
    assert (run["reason"]["run"], run["reason"]["pipeline"], run["reason"]["detail"]) == (second, "score", "boom")
    assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{second}/retry"))[0] == 202
    assert (await mesh.get_run(first))["status"] == "running"
    await run_stage(mesh, "mark")
    await run_stage(mesh, "print")
    await mesh.until(lambda: mesh.has_status(first, "succeeded"))


@pytest.mark.settings(run_log=True)
async def test_the_end_of_a_chain_is_logged_as_the_end_of_its_first_run(mesh: Mesh) -> None:
    with capture_logs() as lines:
        first = await submit_chain(mesh)
        await run_stage(mesh, "fit")
        await run_stage(mesh, "mark", "failed")
        await mesh.until(lambda: mesh.has_status(first, "failed"))
    second = (await mesh.get_run(first))["chain"][1]["id"]
    ends = [line for line in lines if line["event"] == "Run ended"]
    assert [(line["run"], line["pipeline"], line["status"], line["reason"]) for line in ends] == [
        (second, "score", "failed", "error"),
        (first, "train", "failed", "error"),
    ]


async def test_a_retry_of_the_first_makes_the_others_anew(mesh: Mesh) -> None:
    first = await submit_chain(mesh)
    await run_stage(mesh, "fit")
    await run_stage(mesh, "mark", "failed")
    await mesh.until(lambda: mesh.has_status(first, "failed"))
    old = (await mesh.get_run(first))["chain"][1]["id"]
    assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{first}/retry"))[0] == 202
    for stage in ("fit", "mark", "print"):
        await run_stage(mesh, stage)
    await mesh.until(lambda: mesh.has_status(first, "succeeded"))
    assert old not in [one["id"] for one in (await mesh.get_run(first))["chain"]]
    assert (await mesh.get_run(old))["status"] == "failed"
    status, answer, _ = await mesh.call("POST", f"/internal/apps/leaf/runs/{old}/retry")
    assert (status, answer["detail"]) == (
        409,
        f"a later attempt of {first} replaced this run; retry that one",
    )


async def test_cancel_of_a_chain_ends_the_run_that_is_at_work(mesh: Mesh) -> None:
    first = await submit_chain(mesh)
    await run_stage(mesh, "fit")
    lease = await mesh.claim(kind="stage")
    assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{first}/cancel"))[0] == 202

    async def stopped() -> bool:
        orders = await mesh.send_heartbeat({"task": lease["task"], "token": lease["token"], "state": "running"})
        return bool(orders["stop"])

    await mesh.until(stopped)
    await mesh.report(lease, "canceled")
    await mesh.until(lambda: mesh.has_status(first, "canceled"))
    run = await mesh.get_run(first)
    assert chain_statuses(run) == [("train", "canceled"), ("score", "canceled"), ("print", "waiting")]
    listed = (await mesh.call("GET", "/api/v1/apps/leaf/runs", headers=OWNER))[1]["items"]
    assert sorted(one["pipeline"] for one in listed) == ["score", "train"]
