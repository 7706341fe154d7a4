"""Submissions: validates the request body of a new run against the pipeline's API. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.errors import Invalid
from libs.common.locations import Location
from libs.common.manifests.apicomponent import ApiInput, ApiOutput, ApiSpec, Datatype, InputType
from libs.common.manifests.configmap import ConfigMaps
from libs.common.manifests.data_flow import external_variables, output_producers, producing_pipeline
from libs.common.manifests.experimentpipeline import ExperimentPipeline
from services.scheduler.model.callback import CallbackRequest
from services.scheduler.model.run_plan import InputSource, RunPlan
from services.scheduler.plans import callback_request, planner, submitted_values
from services.scheduler.plans.submitted_values import BoxAccess, Submitter

MAX_PRIORITY = 10
CACHE_MODES = ("off", "read", "refresh")
"""For stages with `cache: true`: ignore the cache, use it, or run and overwrite the entry."""
MAX_LABELS = 32
MAX_LABEL_LENGTH = 256
KNOWN_FIELDS = frozenset({"inputs", "outputs", "labels", "priority", "cache", "callback"})


@dataclass(frozen=True)
class Submission:
    """A validated submission."""

    run: str
    plan: RunPlan
    inputs: Mapping[str, Any]
    """As the caller gave them."""
    outputs: Mapping[str, str]
    """The folders that outputs are published to, as the caller would write them."""
    labels: dict[str, str]
    priority: int
    callback: CallbackRequest | None
    required_locations: tuple[tuple[str, Location], ...]
    """Files and folders that must exist, with their variables."""
    targets: tuple[tuple[str, Location], ...]
    """Folders in boxes that outputs are published to, with their variables."""


def parse_submission(
    chain: Sequence[ExperimentPipeline],
    api: ApiSpec,
    body: Any,
    *,
    user: Submitter,
    commit: str,
    run: str,
    config_maps: ConfigMaps,
) -> Submission:
    """Validate `body`. `chain`: the pipeline and those that continue it; `config_maps`: those of the app.

    Raises Invalid, whose `errors` name each invalid input, output or field.
    """
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object with inputs")
    errors = [
        (name, f"unknown field; known are {', '.join(sorted(KNOWN_FIELDS))}") for name in body.keys() - KNOWN_FIELDS
    ]
    sources = _parse_inputs(
        api, body.get("inputs") or {}, lambda name: _box_access(user, chain[_first_consumer(chain, name)]), errors
    )
    targets = _parse_outputs(
        api,
        body.get("outputs") or {},
        lambda name: _box_access(user, chain[producing_pipeline(chain, name) or 0]),
        run,
        errors,
    )
    labels, priority = _parse_extras(body, errors)
    callback = _parse_callback(body.get("callback"), errors)
    if errors:
        problems = [{"input": name, "message": message} for name, message in errors]
        raise Invalid(f"{errors[0][0]}: {errors[0][1]}", errors=problems)
    required_locations = [(name, source) for name, source in sources.items() if isinstance(source, Location)]
    return Submission(
        run=run,
        plan=planner.build_run_plan(
            chain,
            commit=commit,
            user=user.name,
            sources=sources,
            targets=targets,
            outputs=[item.name for item in api.outputs],
            config_maps=config_maps,
            cache=body.get("cache", "read"),
        ),
        inputs=dict(body.get("inputs") or {}),
        outputs={name: str(target).rstrip("/") for name, target in targets.items()},
        labels=labels,
        priority=priority,
        callback=callback,
        targets=tuple(targets.items()),
        required_locations=(
            *required_locations,
            *(item for pipeline in chain for item in planner.mounted_locations(pipeline).items()),
        ),
    )


def api_without_manifest(chain: Sequence[ExperimentPipeline], inputs: Mapping[str, Any]) -> ApiSpec:
    """An API for a pipeline that declares none, inferred from the given inputs."""
    read_names = {variable.name for pipeline in chain for stage in pipeline.spec.stages for variable in stage.inputs}
    written_names = {name for pipeline in chain for name in output_producers(pipeline)}
    api_inputs = [
        ApiInput(name=name, type=InputType(datatypes=_guess_datatypes(value))) for name, value in inputs.items()
    ]
    return ApiSpec(
        inputs=tuple(api_inputs), outputs=tuple(ApiOutput(name=name) for name in sorted(written_names - read_names))
    )


def _guess_datatypes(value: Any) -> tuple[Datatype, ...]:
    if isinstance(value, str):
        return ("FILE", "FOLDER")
    if isinstance(value, dict):
        return ("dict",)
    return ("BOOL",) if isinstance(value, bool) else ("FP64",)


def _box_access(user: Submitter, pipeline: ExperimentPipeline) -> BoxAccess:
    return BoxAccess(user, [box.name for box in pipeline.spec.connected_boxes])


def _first_consumer(chain: Sequence[ExperimentPipeline], variable: str) -> int:
    """Index of the first pipeline that reads the variable from outside of the chain."""
    return next((position for position, pipeline in enumerate(chain) if variable in external_variables(pipeline)), 0)


AccessOf = Callable[[str], BoxAccess]
Errors = list[tuple[str, str]]


def _parse_inputs(api: ApiSpec, values: Any, access_of: AccessOf, errors: Errors) -> dict[str, InputSource]:
    if not isinstance(values, dict):
        errors.append(("inputs", "must be an object of variable and value"))
        return {}
    api_inputs = {item.name: item for item in api.inputs}
    errors += [
        (name, f"is not an input; inputs are {', '.join(api_inputs) or 'none'}")
        for name in values
        if name not in api_inputs
    ]
    sources: dict[str, InputSource] = {}
    for name, item in api_inputs.items():
        if name not in values or values[name] is None:
            if item.required:
                errors.append((name, "is required and missing"))
            continue
        try:
            sources[name] = submitted_values.parse_source(item, values[name], access_of(name))
        except ValueError as error:
            errors.append((name, str(error)))
    return sources


def _parse_outputs(api: ApiSpec, values: Any, access_of: AccessOf, run: str, errors: Errors) -> dict[str, Location]:
    if not isinstance(values, dict):
        errors.append(("outputs", "must be an object of variable and folder"))
        return {}
    output_names = [item.name for item in api.outputs]
    errors += [
        (name, f"is not an output; outputs are {', '.join(output_names) or 'none'}")
        for name in values
        if name not in output_names
    ]
    targets: dict[str, Location] = {}
    for name in output_names:
        try:
            target = submitted_values.resolve_target(values.get(name), access_of(name), f"runs/{run}/{name}")
        except ValueError as error:
            errors.append((name, str(error)))
        else:
            targets |= {} if target is None else {name: target}
    return targets


def _parse_extras(body: Mapping[str, Any], errors: Errors) -> tuple[dict[str, str], int]:
    labels, priority = body.get("labels") or {}, body.get("priority", 0)
    is_valid = isinstance(labels, dict) and len(labels) <= MAX_LABELS
    if not is_valid or not all(
        isinstance(text, str) and len(text) <= MAX_LABEL_LENGTH for pair in labels.items() for text in pair
    ):
        errors.append(("labels", f"must be an object of at most {MAX_LABELS} short texts"))
    if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > MAX_PRIORITY:
        errors.append(("priority", f"must be a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}"))
    if body.get("cache", "read") not in CACHE_MODES:
        errors.append(("cache", f"must be one of {', '.join(CACHE_MODES)}"))
    return labels, priority


def _parse_callback(value: Any, errors: Errors) -> CallbackRequest | None:
    try:
        return None if value is None else callback_request.parse_callback(value)
    except ValueError as error:
        errors.append(("callback", str(error)))
        return None
