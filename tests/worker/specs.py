"""Valid specifications and leases, of which a test names what it is about."""

from __future__ import annotations

from typing import Any

from libs.common.locations import Location
from libs.common.protocol.build import BuildSpec
from libs.common.protocol.image import ImageSpec
from libs.common.protocol.instance import InstanceSpec
from libs.common.protocol.message import Message
from libs.common.protocol.stage import StageInput, StageOutput, StageSpec
from services.worker.lease import Lease

KINDS: dict[type[Message], str] = {StageSpec: "stage", InstanceSpec: "instance", ImageSpec: "image", BuildSpec: "build"}
FOLDER = Location(box="b", user="u", group="g")
INPUT = StageInput(name="data-in", kind="file", source=FOLDER.model_copy(update={"file": "a.csv"}))
FOLDER_INPUT = StageInput(name="data-in", kind="folder", source=FOLDER)
VALUE = StageInput(name="rate", kind="value", source=None, value=0.5, suffix=".json")
OUTPUT = StageOutput(name="out", target=Location(area="runs/r/s/1/out"))


def make_stage_spec(**fields: Any) -> StageSpec:
    required = {"run": "r", "pipeline": "p", "stage": "s", "image": "i", "timeout": 60.0, "log": "log"}
    return StageSpec(**{**required, **fields})


def make_instance_spec(**fields: Any) -> InstanceSpec:
    required = {
        "component": "c", "image": "i", "inference": "app:predict", "python": "python3", "port": 8002,
        "start_timeout": 30.0, "instance_token": "secret", "log": "log",
    }  # fmt: skip
    return InstanceSpec(**{**required, **fields})


def lease_document(spec: StageSpec | InstanceSpec | ImageSpec | BuildSpec, /, **fields: Any) -> dict[str, Any]:
    """A lease as the scheduler sends it."""
    known = {"task": "t", "attempt": 1, "token": 1, "lease_seconds": 15.0, "app": "a", "commit": "c0"}
    kind = KINDS[type(spec)]
    return {**known, "kind": kind, "spec": spec.to_json(), **fields}


def make_lease(spec: StageSpec | InstanceSpec, **fields: Any) -> Lease:
    return Lease.from_json(lease_document(spec, **fields))
