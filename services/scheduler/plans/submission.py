"""What a caller asks for when a run is submitted, checked against what the pipeline's API says. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.errors import Invalid
from libs.common.identity import ANONYMOUS
from libs.common.locations import Location
from libs.common.manifests.apicomponent import ApiInput, ApiOutput, ApiSpec, Datatype, InputType
from libs.common.manifests.configmap import ConfigMaps
from libs.common.manifests.data_flow import open_variables, producer, written
from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.store_keys import refusal
from services.scheduler.callbacks import events
from services.scheduler.plans import planner

NUMBERS = frozenset({"FP32", "FP64", "INT32", "INT64"})
MAX_PRIORITY = 10
MAX_SHOWN = 80
"""Characters of a wrong value in the answer."""
CACHES = ("off", "read", "refresh")
"""Stages with `cache: true`: run them; take what there is; run them and keep that."""
MAX_LABELS = 32
MAX_LABEL = 256
FIELDS = frozenset({"inputs", "outputs", "labels", "priority", "cache", "callback"})


@dataclass(frozen=True)
class User:
    """Who asks, and all boxes of the app."""

    app: str
    name: str
    boxes: Collection[str]


@dataclass(frozen=True)
class Area:
    """The boxes of a pipeline, as far as they are this user's."""

    user: User
    connected: Sequence[str]


@dataclass(frozen=True)
class Submission:
    """What a caller asked for, checked: ready to become rows."""

    run: str
    plan: dict[str, Any]
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    labels: dict[str, str]
    priority: int
    callback: dict[str, Any] | None
    needs: tuple[tuple[str, Location], ...]
    """Files and folders that must exist, with the variables that name them."""
    targets: tuple[tuple[str, Location], ...]
    """Folders of boxes that outputs go to, with their variables."""


def submission(
    chain: Sequence[ExperimentPipeline],
    api: ApiSpec,
    body: Any,
    *,
    user: User,
    commit: str,
    run: str,
    config_maps: ConfigMaps,
) -> Submission:
    """`chain`: the pipeline and those that continue it; `config_maps`: the app's.

    Raises Invalid, whose `errors` name each input, output or field that does not fit.
    """
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object with inputs")
    errors = [(name, f"unknown field; known are {', '.join(sorted(FIELDS))}") for name in body.keys() - FIELDS]
    sources = _inputs(api, body.get("inputs") or {}, lambda name: _area(user, chain[_reader(chain, name)]), errors)
    targets = _outputs(
        api, body.get("outputs") or {}, lambda name: _area(user, chain[producer(chain, name) or 0]), run, errors
    )
    labels, priority = _extras(body, errors)
    told = _callback(body.get("callback"), errors)
    if errors:
        listed = [{"input": name, "message": message} for name, message in errors]
        raise Invalid(f"{errors[0][0]}: {errors[0][1]}", errors=listed)
    needs = [(name, Location(**value)) for name, value in sources.items() if "value" not in value]
    return Submission(
        run=run,
        plan=planner.planned(
            chain,
            commit=commit,
            user=user.name,
            sources=sources,
            targets={name: target.to_json() for name, target in targets.items()},
            outputs=[item.name for item in api.outputs],
            config_maps=config_maps,
            cache=body.get("cache", "read"),
        ),
        inputs=dict(body.get("inputs") or {}),
        outputs={name: str(target).rstrip("/") for name, target in targets.items()},
        labels=labels,
        priority=priority,
        callback=told,
        targets=tuple(targets.items()),
        needs=(*needs, *(item for one in chain for item in planner.constants(one).items())),
    )


def unpublished(chain: Sequence[ExperimentPipeline], inputs: Mapping[str, Any]) -> ApiSpec:
    """What the API of a pipeline that has none would say, given the inputs that it is to take."""
    read = {variable.name for one in chain for stage in one.spec.stages for variable in stage.inputs}
    made = {name for one in chain for name in written(one)}
    named = [ApiInput(name=name, type=InputType(datatypes=_datatypes(value))) for name, value in inputs.items()]
    return ApiSpec(inputs=tuple(named), outputs=tuple(ApiOutput(name=name) for name in sorted(made - read)))


def _datatypes(value: Any) -> tuple[Datatype, ...]:
    if isinstance(value, str):
        return ("FILE", "FOLDER")
    if isinstance(value, dict):
        return ("dict",)
    return ("BOOL",) if isinstance(value, bool) else ("FP64",)


def _area(user: User, one: ExperimentPipeline) -> Area:
    return Area(user, [box.name for box in one.spec.connected_boxes])


def _reader(chain: Sequence[ExperimentPipeline], variable: str) -> int:
    """The place of the first pipeline that takes the variable from outside."""
    return next((place for place, one in enumerate(chain) if variable in open_variables(one)), 0)


AreaOf = Callable[[str], Area]
Errors = list[tuple[str, str]]


def _inputs(api: ApiSpec, given: Any, area: AreaOf, errors: Errors) -> dict[str, dict[str, Any]]:
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
            found[name] = _source(item, given[name], area(name))
        except ValueError as error:
            errors.append((name, str(error)))
    return found


def _source(item: ApiInput, value: Any, area: Area) -> dict[str, Any]:
    datatypes = item.type.datatypes
    if isinstance(value, str) and ("FILE" in datatypes or "FOLDER" in datatypes):
        if value.endswith("/") and "FOLDER" not in datatypes:
            raise ValueError("must be a file, not a folder")
        return place(value, area, folder="FILE" not in datatypes or value.endswith("/")).to_json()
    for datatype in datatypes:
        if fits(datatype, value):
            return {"value": value, "suffix": ".txt" if datatype == "str" else ".json"}
    raise ValueError(f"must be {' or '.join(datatypes)}, not {_short(value)}")


def _short(value: Any) -> str:
    """A JSON value in a sentence; of a list or an object only which of them it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def fits(datatype: str, value: Any) -> bool:
    """Whether a JSON value is of this datatype (FILE and FOLDER never are: they are places)."""
    if datatype == "BOOL":
        return isinstance(value, bool)
    if datatype in NUMBERS:
        numbers = value if isinstance(value, list) else [value]
        kinds = (int,) if datatype.startswith("INT") else (int, float)
        return all(isinstance(n, kinds) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    return isinstance(value, {"str": str, "dict": dict}.get(datatype, ()))


def place(value: str, area: Area, *, folder: bool) -> Location:
    """`<box>/<group>/<file>`, or `<group>/<file>` when one box is connected. Raises ValueError with what to write."""
    parts, boxes = value.removesuffix("/").split("/"), area.connected
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            'must name a file or folder in a box, <box>/<group>/<file>, without ".", ".." and empty parts; what is on'
            " your machine comes there with: mlmesh box put"
        )
    if not boxes:
        raise ValueError("the pipeline has no connectedBoxes, so files cannot be named")
    if parts[0] in area.user.boxes and parts[0] not in boxes:
        raise ValueError(f"box {parts[0]} is not connected to this pipeline; connected are {', '.join(boxes)}")
    least = 1 if folder else 2
    named = parts[0] in boxes and len(parts) > least
    if not named and len(boxes) > 1:
        raise ValueError(f"must start with the name of a box: {', '.join(boxes)}")
    box, rest = (parts[0], parts[1:]) if named else (boxes[0], parts)
    if len(rest) < least:
        raise ValueError("must be <group>/<file>, or <box>/<group>/<file>")
    group, file = ("/".join(rest), None) if folder else ("/".join(rest[:-1]), rest[-1])
    return _acceptable(area.user.app, Location(box=box, user=area.user.name, group=group, file=file))


def _acceptable(app: str, location: Location) -> Location:
    """Raises ValueError for what databox would refuse when the work is done."""
    if why := refusal(app, location):
        raise ValueError(why)
    return location


def _outputs(api: ApiSpec, given: Any, area: AreaOf, run: str, errors: Errors) -> dict[str, Location]:
    if not isinstance(given, dict):
        errors.append(("outputs", "must be an object of variable and folder"))
        return {}
    known = [item.name for item in api.outputs]
    errors += [
        (name, f"is not an output; outputs are {', '.join(known) or 'none'}") for name in given if name not in known
    ]
    found: dict[str, Location] = {}
    for name in known:
        try:
            target = _target(given.get(name), area(name), f"runs/{run}/{name}")
        except ValueError as error:
            errors.append((name, str(error)))
        else:
            found |= {} if target is None else {name: target}
    return found


def _target(value: Any, area: Area, otherwise: str) -> Location | None:
    """Where an output goes; None when it is kept with the run."""
    if isinstance(value, str):
        return place(value, area, folder=True)
    if value is not None:
        raise ValueError("must be the name of a folder")
    if len(area.connected) != 1 or area.user.name == ANONYMOUS:  # who has no files
        return None
    location = Location(box=area.connected[0], user=area.user.name, group=otherwise)
    return _acceptable(area.user.app, location)


def _extras(body: Mapping[str, Any], errors: Errors) -> tuple[dict[str, str], int]:
    labels, priority = body.get("labels") or {}, body.get("priority", 0)
    good = isinstance(labels, dict) and len(labels) <= MAX_LABELS
    if not good or not all(
        isinstance(text, str) and len(text) <= MAX_LABEL for pair in labels.items() for text in pair
    ):
        errors.append(("labels", f"must be an object of at most {MAX_LABELS} short texts"))
    if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > MAX_PRIORITY:
        errors.append(("priority", f"must be a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}"))
    if body.get("cache", "read") not in CACHES:
        errors.append(("cache", f"must be one of {', '.join(CACHES)}"))
    return labels, priority


def _callback(value: Any, errors: Errors) -> dict[str, Any] | None:
    try:
        return None if value is None else events.asked(value)
    except ValueError as error:
        errors.append(("callback", str(error)))
        return None
