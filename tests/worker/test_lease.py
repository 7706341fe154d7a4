"""A lease is read once: what this worker cannot read ends one task, and what another release adds is ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libs.common.protocol.claim import ClaimResponse
from libs.common.protocol.stage import StageSpec
from services.worker.lease import Lease, UnreadableSpec
from services.worker.lease_runner import load_lease, save_lease
from tests.worker.specs import VALUE, lease_document, make_instance_spec, make_lease, make_stage_spec

UPGRADE = "upgrade the worker if its release is older than the scheduler's"
LATER = {"of_a_later_release": 1}


@pytest.mark.parametrize(
    "spec", [make_stage_spec(inputs=[VALUE]), make_instance_spec(batching={"max_size": 2, "max_delay_ms": 1.0})]
)
def test_fields_of_a_later_release_are_ignored(spec: Any) -> None:
    document = lease_document(spec)
    later = {**document, **LATER, "spec": {**document["spec"], **LATER, "resources": LATER}}
    assert Lease.from_json(later).spec == spec


def test_fields_that_an_earlier_release_does_not_send_have_defaults() -> None:
    spec = {"run": "r", "pipeline": "p", "stage": "s", "image": None, "timeout": 5.0}
    stage = Lease.from_json(lease_document(make_stage_spec(), spec=spec)).spec
    assert isinstance(stage, StageSpec)
    assert (stage.inputs, stage.env, stage.cache, stage.call, stage.resources.gpu) == ((), {}, "off", None, 0)


@pytest.mark.parametrize(
    ("over", "problem"),
    [
        (
            {"kind": "batch"},
            "this worker does not know tasks of the kind 'batch'; upgrade it",
        ),
        (
            {"spec": {}},
            f"this worker cannot read the specification of the stage: image: Field required; {UPGRADE}",
        ),
        (
            {"spec": make_stage_spec().to_json() | {"cache": "share"}},
            "this worker cannot read the specification of the stage: "
            f"cache: Input should be 'off', 'read' or 'refresh'; {UPGRADE}",
        ),
        (
            {"spec": make_stage_spec().to_json() | {"inputs": [{"name": "in", "kind": "stream"}]}},
            "this worker cannot read the specification of the stage: "
            f"inputs.0.kind: Input should be 'file', 'folder' or 'value'; {UPGRADE}",
        ),
    ],
    ids=["kind", "nothing", "cache", "input"],
)
def test_a_specification_that_cannot_be_read_says_why(over: dict[str, Any], problem: str) -> None:
    spec = Lease.from_json(lease_document(make_stage_spec(), **over)).spec
    assert isinstance(spec, UnreadableSpec)
    assert spec.problem == problem


@pytest.mark.parametrize("over", [{"task": None}, {"token": -1}, {"task": "t" * 65}, {"spec": []}, {"app": 3}])
def test_a_lease_that_cannot_be_reported_is_invalid(over: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="invalid lease: "):
        Lease.from_json(lease_document(make_stage_spec(), **over))


def test_a_saved_lease_keeps_what_only_another_release_knows(tmp_path: Path) -> None:
    document = lease_document(make_stage_spec())
    document["spec"] |= LATER
    save_lease(Lease.from_json(document), tmp_path / "t")
    assert json.loads((tmp_path / "t/lease.json").read_text()) == document
    assert load_lease(tmp_path / "t/lease.json") == Lease.from_json(document)


def test_a_lease_as_the_scheduler_writes_it_is_read() -> None:
    document = lease_document(make_instance_spec())
    sent = ClaimResponse.model_validate({"lease": document}).to_json()["lease"]
    assert Lease.from_json(sent) == make_lease(make_instance_spec())
