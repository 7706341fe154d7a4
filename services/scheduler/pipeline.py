"""From a pipeline's manifest and a caller's body to a run's plan, and from the plan to what a worker is told. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.common.errors import Invalid
from libs.common.files import Location
from libs.common.identity import OWNER
from libs.common.manifests import graph
from libs.common.manifests.apicomponent import ApiInput, ApiSpec
from libs.common.manifests.experimentpipeline import ExperimentPipeline, Stage
from services.scheduler.state import Run, Task

NUMBERS = frozenset({"FP32", "FP64", "INT32", "INT64"})
MAX_PRIORITY = 10
MAX_LABELS = 32
MAX_LABEL = 256
FIELDS = frozenset({"inputs", "outputs", "labels", "priority", "cache", "callback"})
NAME_LIMIT = 1024
"""Bytes of a file's name, group included."""


@dataclass(frozen=True)
class Submission:
    """What a caller asked for, checked: ready to become rows."""

    plan: dict[str, Any]
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    labels: dict[str, str]
    priority: int
    needs: tuple[tuple[str, Location], ...]
    """Files and folders that must exist, with the variables that name them."""


def submission(
    pipeline: ExperimentPipeline, api: ApiSpec, body: Any, *, user: str, commit: str, run: str
) -> Submission:
    """Raises Invalid, whose `errors` name each input, output or field that does not fit."""
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object with inputs")
    errors = [(name, f"unknown field; known are {', '.join(sorted(FIELDS))}") for name in body.keys() - FIELDS]
    boxes = [box.name for box in pipeline.spec.connected_boxes]
    sources = _inputs(api, body.get("inputs") or {}, user, boxes, errors)
    targets = _outputs(api, body.get("outputs") or {}, user, boxes, run, errors)
    labels, priority = _extras(body, errors)
    if errors:
        listed = [{"input": name, "message": message} for name, message in errors]
        raise Invalid(f"{errors[0][0]}: {errors[0][1]}", errors=listed)
    constants = {
        variable.name: _constant(variable.mount_from.box, variable.mount_from.path)
        for variable in pipeline.spec.vars
        if variable.mount_from
    }
    plan = {
        "commit": commit,
        "timeout": pipeline.spec.timeout,
        "user": user,
        "sources": {**{name: source.to_json() for name, source in constants.items()}, **sources},
        "targets": {name: target.to_json() for name, target in targets.items()},
        "outputs": [item.name for item in api.outputs],
        "stages": [_stage(stage) for stage in pipeline.spec.stages],
        "waits": {name: sorted(waits) for name, waits in graph.edges(pipeline.spec.stages).items()},
    }
    needs = [(name, Location(**value)) for name, value in sources.items() if "value" not in value]
    needs += list(constants.items())
    return Submission(
        plan=plan,
        inputs=dict(body.get("inputs") or {}),
        outputs={name: str(target).rstrip("/") for name, target in targets.items()},
        labels=labels,
        priority=priority,
        needs=tuple(needs),
    )


Errors = list[tuple[str, str]]


def _inputs(api: ApiSpec, given: Any, user: str, boxes: list[str], errors: Errors) -> dict[str, dict[str, Any]]:
    if not isinstance(given, dict):
        errors.append(("inputs", "must be an object of variable and value"))
        return {}
    known = {item.name: item for item in api.inputs}
    errors += [
        (name, f"is not an input; inputs are {', '.join(known) or 'none'}") for name in given if name not in known
    ]
    found: dict[str, dict[str, Any]] = {}
    for name, item in known.items():
        if name not in given or given[name] is None:
            if item.required:
                errors.append((name, "is required and missing"))
            continue
        try:
            found[name] = _source(item, given[name], user, boxes)
        except ValueError as error:
            errors.append((name, str(error)))
    return found


def _source(item: ApiInput, value: Any, user: str, boxes: list[str]) -> dict[str, Any]:
    datatypes = item.type.datatypes
    if isinstance(value, str) and ("FILE" in datatypes or "FOLDER" in datatypes):
        return place(value, user, boxes, folder="FILE" not in datatypes or value.endswith("/")).to_json()
    for datatype in datatypes:
        if fits(datatype, value):
            return {"value": value, "suffix": ".txt" if datatype == "str" else ".json"}
    raise ValueError(f"must be {' or '.join(datatypes)}")


def fits(datatype: str, value: Any) -> bool:
    """Whether a JSON value is of this datatype (FILE and FOLDER never are: they are places)."""
    if datatype == "BOOL":
        return isinstance(value, bool)
    if datatype in NUMBERS:
        numbers = value if isinstance(value, list) else [value]
        kinds = (int,) if datatype.startswith("INT") else (int, float)
        return all(isinstance(n, kinds) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    return isinstance(value, {"str": str, "dict": dict}.get(datatype, ()))


def place(value: str, user: str, boxes: list[str], *, folder: bool) -> Location:
    """`<box>/<group>/<file>`, or `<group>/<file>` when one box is connected. Raises ValueError with what to write."""
    parts = value.removesuffix("/").split("/")
    bad = len(value.encode(errors="replace")) > NAME_LIMIT or re.search(r"[\x00-\x1f\x7f]", value)
    if bad or any(part in ("", ".", "..") for part in parts):
        raise ValueError('must be a relative path without ".", ".." and empty parts')
    if not boxes:
        raise ValueError("the pipeline has no connectedBoxes, so files cannot be named")
    least = 1 if folder else 2
    named = parts[0] in boxes and len(parts) > least
    if not named and len(boxes) > 1:
        raise ValueError(f"must start with the name of a box: {', '.join(boxes)}")
    box, rest = (parts[0], parts[1:]) if named else (boxes[0], parts)
    if len(rest) < least:
        raise ValueError("must be <group>/<file>, or <box>/<group>/<file>")
    if folder:
        return Location(box=box, user=user, group="/".join(rest))
    return Location(box=box, user=user, group="/".join(rest[:-1]), file=rest[-1])


def _outputs(api: ApiSpec, given: Any, user: str, boxes: list[str], run: str, errors: Errors) -> dict[str, Location]:
    if not isinstance(given, dict):
        errors.append(("outputs", "must be an object of variable and folder"))
        return {}
    known = [item.name for item in api.outputs]
    errors += [
        (name, f"is not an output; outputs are {', '.join(known) or 'none'}") for name in given if name not in known
    ]
    found: dict[str, Location] = {}
    for name in known:
        value = given.get(name)
        if value is None and len(boxes) == 1:
            found[name] = Location(box=boxes[0], user=user, group=f"runs/{run}/{name}")
        elif isinstance(value, str):
            try:
                found[name] = place(value, user, boxes, folder=True)
            except ValueError as error:
                errors.append((name, str(error)))
        elif value is not None:
            errors.append((name, "must be the name of a folder"))
    return found


def _extras(body: Mapping[str, Any], errors: Errors) -> tuple[dict[str, str], int]:
    labels, priority = body.get("labels") or {}, body.get("priority", 0)
    good = isinstance(labels, dict) and len(labels) <= MAX_LABELS
    if not good or not all(
        isinstance(text, str) and len(text) <= MAX_LABEL for pair in labels.items() for text in pair
    ):
        errors.append(("labels", f"must be an object of at most {MAX_LABELS} short texts"))
    if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > MAX_PRIORITY:
        errors.append(("priority", f"must be a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}"))
    if body.get("cache", "off") != "off":
        errors.append(("cache", "is not supported yet; leave it out"))
    if body.get("callback") is not None:
        errors.append(("callback", "is not supported yet; leave it out"))
    return labels, priority


def _constant(box: str, path: str) -> Location:
    group, _, file = path.removesuffix("/").rpartition("/")
    if path.endswith("/") or not group:
        return Location(box=box, user=OWNER, group=path.removesuffix("/"))
    return Location(box=box, user=OWNER, group=group, file=file)


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "image": stage.image.existing_image_name,
        "entry_point": list(stage.entry_point) if stage.entry_point else None,
        "env": {variable.name: variable.value for variable in stage.env},
        "secrets": [source.secret_ref.name for source in stage.env_from],
        "resources": stage.resources.model_dump(),
        "read_only_root": stage.security.read_only_root,
        "timeout": stage.timeout,
        "retries": stage.retries.model_dump(),
        "inputs": [variable.name for variable in stage.inputs],
        "outputs": [variable.name for variable in stage.outputs],
    }


def log_name(run: str, stage: str, attempt: int) -> str:
    return f"runs/{run}/{stage}/{attempt}"


def output_area(run: str, stage: str, token: int, variable: str) -> Location:
    """Where one attempt leaves a variable: private to the claim, so that a superseded one can never mix in."""
    return Location(area=f"runs/{run}/{stage}/{token}/{variable}")


def producers(run: Run) -> dict[str, str]:
    """Variable → the stage that writes it."""
    return {variable: stage["name"] for stage in run.plan["stages"] for variable in stage["outputs"]}


def work(run: Run, task: Task, siblings: Mapping[str, Task]) -> dict[str, Any]:
    """The stage spec of a lease. `siblings` are the run's tasks by stage name, the finished ones with their tokens."""
    writes = producers(run)
    inputs = []
    for variable in task.spec["inputs"]:
        if variable in writes:
            made_by = siblings[writes[variable]]
            source = output_area(run.id, made_by.name, made_by.token, variable)
            inputs.append({"name": variable, "kind": "folder", "source": source.to_json()})
        elif (given := run.plan["sources"].get(variable)) is not None:
            inputs.append({"name": variable, **_given(given)})
    outputs = [
        {"name": variable, "target": output_area(run.id, task.name, task.token, variable).to_json()}
        for variable in task.spec["outputs"]
    ]
    kept = ("image", "entry_point", "env", "secrets", "resources", "read_only_root", "timeout")
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "stage": task.name,
        **{name: task.spec[name] for name in kept},
        "inputs": inputs,
        "outputs": outputs,
        "log": log_name(run.id, task.name, task.attempt),
    }


def _given(source: Mapping[str, Any]) -> dict[str, Any]:
    if "value" in source:
        return {"kind": "value", "value": source["value"], "suffix": source["suffix"], "source": None}
    return {"kind": "file" if source.get("file") else "folder", "source": dict(source)}


def publications(run: Run, task: Task) -> list[dict[str, Any]]:
    """The moves that bring a finished stage's outputs to where the caller wanted them."""
    targets = run.plan["targets"]
    return [
        {"source": output_area(run.id, task.name, task.token, name).to_json(), "target": targets[name]}
        for name in task.spec["outputs"]
        if name in targets
    ]
