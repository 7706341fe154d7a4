"""The documents that the scheduler stores in JSON columns, as its own functions make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from libs.common.locations import Location
from libs.common.manifests.apicomponent import ApiSpec
from services.scheduler.components import desired_instances
from services.scheduler.model.reason import Reason
from services.scheduler.model.run import Run
from services.scheduler.model.run_plan import RunPlan
from services.scheduler.model.task import Task
from services.scheduler.plans import callback_request, planner, submission, submitted_values
from services.scheduler.runs import async_prediction, run_chain
from services.scheduler.tasks import run_transitions, transitions
from services.scheduler.tasks.transitions import AttemptResult
from tests.scheduler.manifests import MANIFESTS, catalog
from tests.scheduler.scenarios.test_chains import CHAIN
from tests.scheduler.scenarios.test_config_maps import BOTH, manifests

NOW = 1000.0
LONG_STAGE = b"""
      timeout: 90
      resources: {cpu: 2, memory: 64Mi, gpu: 1}
      retries: {limit: 2, backoff: 5, reasons: [oom]}
      cache: true
      security: {readOnlyRoot: true, egress: none}
      env: [{name: LEVEL, value: "3"}]
"""


def make_run(text: bytes, body: Any, pipelines: tuple[str, ...] = ("train",)) -> Run:
    app_catalog = catalog(text)
    chained = [app_catalog.pipelines[name] for name in pipelines]
    parsed = submission.parse_submission(
        chained,
        app_catalog.apis["train"].spec.api_spec or ApiSpec(),
        body,
        user=submitted_values.Submitter("leaf", "alice", {"data"}),
        commit="c0ffee",
        run="r_1",
        config_maps=app_catalog.config_maps,
    )
    return Run(
        id="r_1",
        app="leaf",
        pipeline=pipelines[0],
        user="alice",
        status="queued",
        plan=parsed.plan,
        outputs=parsed.outputs,
        created_at=1.0,
    )


def run_with_values() -> Run:
    text = manifests(BOTH).replace(b"      entryPoint: python prepare.py\n", LONG_STAGE)
    body = {"inputs": {"raw": "in/a.csv", "rate": 0.5}, "outputs": {"model": "weights"}, "cache": "refresh"}
    return make_run(text, body)


def first_of_chain() -> Run:
    return make_run(
        CHAIN,
        {"inputs": {"raw": "in/a.csv", "strict": {"on": True}, "rate": 2}, "outputs": {"marks": "seen"}},
        ("train", "score", "print"),
    )


def succeeded(run: Run) -> list[Task]:
    return [replace(task, state="succeeded", token=3, attempt=3) for task in planner.build_stage_tasks(run)]


def second_of_chain() -> Run:
    first = first_of_chain()
    return run_chain.build_successor(first, first, succeeded(first), 1, "r_2")


def prediction_plan() -> RunPlan:
    source = Location(area="runs/r_1/request", file="body.json")
    component = catalog().components["echo"]
    return async_prediction.build_prediction_plan(component, "echo", commit="c0ffee", user="alice", source=source)


def instances(text: bytes) -> dict[str, desired_instances.DesiredInstance]:
    return {one.name: one for one in desired_instances.desired_instances(catalog(text), "c0ffee", {"callers": 3}, {})}


def after_report(**fields: Any) -> transitions.ColumnUpdates:
    """The columns of the first stage after a report."""
    run = run_with_values()
    task = replace(planner.build_stage_tasks(run)[0], state="claimed", token=1, worker="w")
    return transitions.stage_after_report(run, task, AttemptResult(**fields), NOW)


def failed_attempt() -> transitions.ColumnUpdates:
    why = Reason.from_json({"code": "error", "detail": "boom", "exit_code": 3, "log_tail": ["boom"]})
    return after_report(outcome="failed", reason=why, log_tail=("boom",), usage={"duration": 1.5})


def failed_run() -> transitions.ColumnUpdates:
    run = run_with_values()
    first, second = planner.build_stage_tasks(run)
    stages = [replace(first, **failed_attempt()), replace(second, state="skipped")]
    return run_transitions.advance_run(run, stages, NOW).run


CALLBACK = {"url": "https://example.com/", "events": ["run.failed", "started"], "headers": {"X-Key": "sesame"}}
OUTPUTS = {"features": {"files": 1, "bytes": 2, "sha256": "ab"}}
DOCUMENTS: dict[str, Callable[[], Any]] = {
    "plan_values": lambda: run_with_values().plan.to_json(),
    "plan_chain": lambda: first_of_chain().plan.to_json(),
    "plan_successor": lambda: second_of_chain().plan.to_json(),
    "plan_prediction": lambda: prediction_plan().to_json(),
    "instance_with_model": lambda: instances(MANIFESTS)["digits"].spec.to_json(),
    "instance_with_values": lambda: instances(manifests(BOTH))["echo"].spec.to_json(),
    "callback": lambda: callback_request.parse_callback(CALLBACK).to_json(),
    "result": lambda: after_report(outcome="succeeded", outputs=OUTPUTS, usage={"duration": 1.5})["result"].to_json(),
    "result_of_failure": lambda: failed_attempt()["result"].to_json(),
    "reason_of_stage": lambda: failed_attempt()["reason"].to_json(),
    "reason_of_retry": lambda: after_report(outcome="failed", reason=Reason("oom", None))["reason"].to_json(),
    "reason_of_lost_stage": lambda: after_report(outcome="lost")["reason"].to_json(),
    "reason_of_run": lambda: failed_run()["reason"].to_json(),
}
