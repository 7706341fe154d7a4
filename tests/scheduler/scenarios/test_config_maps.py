"""ConfigMaps on their way from a catalog to a worker: in the order of `envFrom`, and in no spec that names none."""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.manifests.apicomponent import ApiSpec
from services.scheduler.components import desired_instances
from services.scheduler.model.run import Run
from services.scheduler.plans import planner, submission, submitted_values
from services.scheduler.plans.planner import build_stage_tasks
from tests.scheduler.manifests import MANIFESTS, catalog

SETTINGS = b"""
---
apiVersion: mlmesh/v1
kind: ConfigMap
metadata: {name: settings}
data: {LEVEL: "3", MODE: fast}
"""
SECRETS, BOTH = b"{secretRef: {name: callers}}", b"{secretRef: {name: callers}}, {configMapRef: {name: settings}}"
OF_ECHO = b'  mlService: {inference: "module:echo"}\n'
OF_TRAIN = b"      entryPoint: python train.py\n"
VALUES = {"values": {"LEVEL": "3", "MODE": "fast"}}
IN_ORDER = [{"secret": "callers"}, VALUES]


def manifests(sources: bytes, settings: bytes = SETTINGS) -> bytes:
    text = MANIFESTS.replace(OF_ECHO, OF_ECHO + b"  envFrom: [" + sources + b"]\n")
    return text.replace(OF_TRAIN, OF_TRAIN + b"      envFrom: [" + sources + b"]\n") + settings


def only_instance(text: bytes) -> desired_instances.DesiredInstance:
    return next(
        single_instance
        for single_instance in desired_instances.desired_instances(catalog(text), "c0ffee", {}, {})
        if single_instance.name == "echo"
    )


def stage_specs(text: bytes) -> dict[str, dict[str, Any]]:
    """What a worker is told of each stage."""
    live_catalog, body = catalog(text), {"inputs": {"raw": "in/a.csv"}}
    parsed = submission.parse_submission(
        [live_catalog.pipelines["train"]],
        live_catalog.apis["train"].spec.api_spec or ApiSpec(),
        body,
        user=submitted_values.Submitter("leaf", "alice", {"data"}),
        commit="c0ffee",
        run="r_1",
        config_maps=live_catalog.config_maps,
    )
    run = Run(id="r_1", app="leaf", pipeline="train", user="alice", status="queued", plan=parsed.plan, created_at=1.0)
    tasks = {task.name: task for task in build_stage_tasks(run)}
    return {name: planner.build_stage_spec(run, task, tasks).to_json() for name, task in tasks.items()}


def test_a_worker_is_told_the_values_in_the_order_of_the_manifest() -> None:
    spec = only_instance(manifests(BOTH)).spec.to_json()
    assert (spec["env_from"], spec["secrets"]) == (IN_ORDER, ["callers"])
    told = stage_specs(manifests(BOTH))
    assert (told["train"]["env_from"], told["train"]["secrets"]) == (IN_ORDER, ["callers"])
    assert "env_from" not in told["prepare"]


@pytest.mark.parametrize("sources", [b"", SECRETS])
def test_a_spec_without_config_maps_is_as_it_was(sources: bytes) -> None:
    assert "env_from" not in only_instance(manifests(sources)).spec.to_json()
    assert all("env_from" not in told for told in stage_specs(manifests(sources)).values())


def test_another_value_is_another_instance_of_those_who_use_it() -> None:
    changed = SETTINGS.replace(b"fast", b"slow")
    assert only_instance(manifests(BOTH)).fingerprint != only_instance(manifests(BOTH, changed)).fingerprint
    assert only_instance(manifests(SECRETS)).fingerprint == only_instance(manifests(SECRETS, changed)).fingerprint
    assert only_instance(manifests(SECRETS)).fingerprint == only_instance(manifests(SECRETS, b"")).fingerprint
