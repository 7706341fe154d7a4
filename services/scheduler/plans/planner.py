"""Planner: builds a run plan from pipeline manifests, and the stage spec of a lease from the plan. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from libs.common.identity import OWNER_USER
from libs.common.locations import Location
from libs.common.manifests import stage_graph
from libs.common.manifests.configmap import ConfigMaps
from libs.common.manifests.container import env_sources_to_json, secret_names
from libs.common.manifests.data_flow import (
    external_variables,
    inherited_variables,
    output_producers,
    producing_pipeline,
)
from libs.common.manifests.experimentpipeline import ExperimentPipeline, Stage
from libs.common.memoize import memoize_by_identity
from libs.common.protocol.publication import Move
from libs.common.protocol.stage import StageInput, StageOutput, StageSpec
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task


def build_run_plan(
    chain: Sequence[ExperimentPipeline],
    *,
    commit: str,
    user: str,
    sources: Mapping[str, dict[str, Any]],
    targets: Mapping[str, dict[str, Any]],
    outputs: Sequence[str],
    config_maps: ConfigMaps,
    cache: str = "read",
) -> dict[str, Any]:
    """The plan of a run; `then` holds the plans of the runs that continue it, with the variables that each inherits.

    `sources` and `targets` are the caller's locations (or values) by variable; `config_maps` are those of the app.
    """
    plans = []
    for position, pipeline in enumerate(chain):
        inherited = inherited_variables(chain[position - 1], pipeline) if position else {}
        pipeline_sources = {
            name: sources[name] for name in external_variables(pipeline) if name in sources and name not in inherited
        }
        final_outputs = {name for name in output_producers(pipeline) if producing_pipeline(chain, name) == position}
        shared = _shared_plan(pipeline)
        plan = {
            **shared,
            "stages": [*_add_config_maps(shared["stages"], pipeline, config_maps)],
            "commit": commit,
            "user": user,
            "sources": {**shared["sources"], **pipeline_sources},
            "targets": {name: target for name, target in targets.items() if name in final_outputs},
            "outputs": [name for name in outputs if name in final_outputs],
            "cache": cache,
        }
        continuation = {"pipeline": pipeline.metadata.name, "given": inherited, "began_with": chain[0].metadata.name}
        plans.append({**plan, **continuation} if position else plan)
    first_plan, *later_plans = plans
    if not later_plans:
        return first_plan
    chain_fields = {
        "timeout": sum(pipeline.spec.timeout for pipeline in chain),
        "outputs": list(outputs),
        "then": later_plans,
    }
    return {**first_plan, **chain_fields}


@memoize_by_identity
def _shared_plan(pipeline: ExperimentPipeline) -> dict[str, Any]:
    """The part of the plan that all runs of a pipeline share."""
    return {
        "timeout": pipeline.spec.timeout,
        "sources": {name: source.to_json() for name, source in mounted_locations(pipeline).items()},
        "stages": [_build_stage(stage) for stage in pipeline.spec.stages],
        "waits": {name: sorted(waits) for name, waits in stage_graph.stage_dependencies(pipeline.spec.stages).items()},
    }


def _add_config_maps(
    stages: Sequence[dict[str, Any]], pipeline: ExperimentPipeline, config_maps: ConfigMaps
) -> Iterator[dict[str, Any]]:
    """Add `env_from`, with order and values, to stages that use a ConfigMap."""
    for stage, declared in zip(stages, pipeline.spec.stages, strict=True):
        sources = env_sources_to_json(declared.env_from, config_maps) if declared.env_from else []
        yield {**stage, "env_from": sources} if sources else stage


@memoize_by_identity
def mounted_locations(pipeline: ExperimentPipeline) -> dict[str, Location]:
    """The locations of `mountFrom`, by variable."""
    mounted = ((variable.name, variable.mount_from) for variable in pipeline.spec.vars)
    return {name: _parse_mount(source.box, source.path) for name, source in mounted if source}


def _parse_mount(box: str, path: str) -> Location:
    group, _, file = path.removesuffix("/").rpartition("/")
    if path.endswith("/") or not group:
        return Location(box=box, user=OWNER_USER, group=path.removesuffix("/"))
    return Location(box=box, user=OWNER_USER, group=group, file=file)


def _build_stage(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "image": stage.image.existing_image_name,
        "entry_point": list(stage.entry_point) if stage.entry_point else None,
        "env": {variable.name: variable.value for variable in stage.env},
        "secrets": secret_names(stage.env_from),
        "resources": stage.resources.model_dump(),
        "read_only_root": stage.security.read_only_root,
        "egress": stage.security.egress,
        "image_credentials": stage.image.credentials,
        "timeout": stage.timeout,
        "retries": stage.retries.model_dump(),
        "inputs": [variable.name for variable in stage.inputs],
        "outputs": [variable.name for variable in stage.outputs],
        "cache": stage.cache,
    }


def new_run_id() -> str:
    """Random and unguessable: anonymous runs are protected by their id alone."""
    return f"r_{secrets.token_hex(10)}"


def build_stage_tasks(run: Run) -> list[Task]:
    """The run's new tasks; those without inputs from other stages are ready."""
    return [
        Task(
            id=f"t_{run.id.partition('_')[2]}_{index}",
            kind="stage",
            app=run.app,
            run=run.id,
            name=stage["name"],
            replica=index,
            resource_class="gpu" if stage["resources"].get("gpu") else "cpu",
            priority=run.priority,
            state="waiting" if run.plan["waits"][stage["name"]] else "ready",
            created_at=run.created_at,
        )
        for index, stage in enumerate(run.plan["stages"])
    ]


def log_name(run: str, stage: str, attempt: int) -> str:
    return f"runs/{run}/{stage}/{attempt}"


def instance_log_name(task: Task) -> str:
    return f"instances/{task.id}/{task.attempt}"


def attempt_area(run: str, stage: str, token: int) -> str:
    """Path prefix of one attempt's outputs. The token keeps a superseded attempt from writing to the same place."""
    return f"runs/{run}/{stage}/{token}"


def attempt_output(run: str, stage: str, token: int, variable: str) -> Location:
    return Location(area=f"{attempt_area(run, stage, token)}/{variable}")


def find_output_location(run: Run, task: Task, variable: str) -> Location:
    """Where an output of a succeeded stage is; of a stage from the cache it is with the run that produced it."""
    reused = (task.result or {}).get("reused")
    if reused:
        return attempt_output(reused["run"], reused["stage"], reused["token"], variable)
    return attempt_output(run.id, task.name, task.token, variable)


def producing_stages(run: Run) -> dict[str, str]:
    """The stage that writes each variable."""
    return {variable: stage["name"] for stage in run.plan["stages"] for variable in stage["outputs"]}


COPIED_STAGE_FIELDS = (
    "image",
    "entry_point",
    "env",
    "secrets",
    "resources",
    "read_only_root",
    "egress",
    "image_credentials",
    "timeout",
    "env_from",
)
"""Fields of a plan's stage that its specification has, too."""


def build_stage_spec(run: Run, task: Task, siblings: Mapping[str, Task]) -> StageSpec:
    """The stage spec of a lease. `siblings`: the run's tasks by stage name, with those that produced the inputs."""
    stage_by_output, stage = producing_stages(run), run.get_stage(task)
    inputs: list[StageInput] = []
    for variable in stage["inputs"]:
        if variable in stage_by_output:
            producing_task = siblings[stage_by_output[variable]]
            source = find_output_location(run, producing_task, variable)
            inputs.append(StageInput(name=variable, kind="folder", source=source))
        elif (named_source := run.plan["sources"].get(variable)) is not None:
            inputs.append(StageInput.model_validate({"name": variable, **_input_source(named_source)}))
    outputs = [
        StageOutput(name=variable, target=attempt_output(run.id, task.name, task.token, variable))
        for variable in stage["outputs"]
    ]
    return StageSpec(
        run=run.id,
        pipeline=run.pipeline,
        stage=task.name,
        **{name: stage[name] for name in COPIED_STAGE_FIELDS if name in stage},
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        log=log_name(run.id, task.name, task.attempt),
        cache=run.plan.get("cache", "off") if stage.get("cache") else "off",
    )


def _input_source(source: Mapping[str, Any]) -> dict[str, Any]:
    if "value" in source:
        return {"kind": "value", "value": source["value"], "suffix": source["suffix"], "source": None}
    return {"kind": "file" if source.get("file") else "folder", "source": dict(source)}


def publication_moves(run: Run, task: Task) -> list[Move]:
    """The moves of a finished stage's outputs to the targets of the submission."""
    targets, outputs = run.plan["targets"], run.get_stage(task)["outputs"]
    return [
        Move(source=find_output_location(run, task, name), target=targets[name]) for name in outputs if name in targets
    ]
