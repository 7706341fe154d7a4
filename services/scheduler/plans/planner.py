"""Planner: builds a run plan from pipeline manifests, and the stage spec of a lease from the plan. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from libs.common.frozen import copy_with
from libs.common.identity import OWNER_USER
from libs.common.locations import Location
from libs.common.manifests import stage_graph
from libs.common.manifests.configmap import ConfigMaps
from libs.common.manifests.container import list_env_sources, secret_names
from libs.common.manifests.data_flow import (
    external_variables,
    inherited_variables,
    output_producers,
    producing_pipeline,
)
from libs.common.manifests.experimentpipeline import ExperimentPipeline, Retries, Stage
from libs.common.memoize import memoize_by_identity
from libs.common.protocol.container import ContainerResources
from libs.common.protocol.publication import Move
from libs.common.protocol.stage import CachePolicy, StageInput, StageOutput, StageSpec
from services.scheduler.model.run import Run
from services.scheduler.model.run_plan import InputSource, InputValue, RetryPolicy, RunPlan, StagePlan, SuccessorPlan
from services.scheduler.model.task import Task, get_image_id


def build_run_plan(
    chain: Sequence[ExperimentPipeline],
    *,
    commit: str,
    user: str,
    sources: Mapping[str, InputSource],
    targets: Mapping[str, Location],
    outputs: Sequence[str],
    config_maps: ConfigMaps,
    cache: CachePolicy = "read",
) -> RunPlan:
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
        plan = replace(
            shared,
            stages=tuple(_add_config_maps(shared.stages, pipeline, config_maps)) if config_maps else shared.stages,
            commit=commit,
            user=user,
            sources={**shared.sources, **pipeline_sources},
            targets={name: target for name, target in targets.items() if name in final_outputs},
            outputs=tuple(name for name in outputs if name in final_outputs),
            cache=cache,
        )
        plans.append((plan, pipeline.metadata.name, inherited))
    (first_plan, first_pipeline, _), *later_plans = plans
    if not later_plans:
        return first_plan
    successors = [
        SuccessorPlan.from_plan(plan, pipeline=pipeline_name, inherited=inherited, first_pipeline=first_pipeline)
        for plan, pipeline_name, inherited in later_plans
    ]
    timeout = sum(pipeline.spec.timeout for pipeline in chain)
    return replace(first_plan, timeout=timeout, outputs=tuple(outputs), then=tuple(successors))


@memoize_by_identity
def _shared_plan(pipeline: ExperimentPipeline) -> RunPlan:
    """The part of the plan that all runs of a pipeline share."""
    dependencies = stage_graph.stage_dependencies(pipeline.spec.stages)
    return RunPlan(
        timeout=pipeline.spec.timeout,
        sources=mounted_locations(pipeline),
        stages=tuple(_build_stage(stage) for stage in pipeline.spec.stages),
        waits={name: tuple(sorted(waits)) for name, waits in dependencies.items()},
    )


def _add_config_maps(
    stages: Sequence[StagePlan], pipeline: ExperimentPipeline, config_maps: ConfigMaps
) -> Iterator[StagePlan]:
    """Add `env_from`, with order and values, to stages that use a ConfigMap."""
    for stage, declared in zip(stages, pipeline.spec.stages, strict=True):
        env_from = list_env_sources(declared.env_from, config_maps)
        yield replace(stage, env_from=env_from) if env_from else stage


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


def _build_stage(stage: Stage) -> StagePlan:
    return StagePlan(
        name=stage.name,
        image=stage.image.existing_image_name,
        entry_point=stage.entry_point,
        env={variable.name: variable.value for variable in stage.env},
        secrets=tuple(secret_names(stage.env_from)),
        resources=ContainerResources.model_validate(stage.resources.model_dump()),
        read_only_root=stage.security.read_only_root,
        egress=stage.security.egress,
        image_credentials=stage.image.credentials,
        timeout=stage.timeout,
        retries=build_retry_policy(stage.retries),
        inputs=tuple(variable.name for variable in stage.inputs),
        outputs=tuple(variable.name for variable in stage.outputs),
        cache=stage.cache,
    )


def build_retry_policy(retries: Retries) -> RetryPolicy:
    return RetryPolicy(retries.limit, retries.backoff, retries.factor, retries.reasons)


def new_run_id() -> str:
    """Random and unguessable: anonymous runs are protected by their id alone."""
    return f"r_{secrets.token_hex(10)}"


NEW_STAGE_TASK = Task(id="", kind="stage", app="", name="", state="waiting", created_at=0.0)
"""What new tasks of stages have in common."""


def build_stage_tasks(run: Run) -> list[Task]:
    """The run's new tasks; those without inputs from other stages are ready."""
    return [
        copy_with(
            NEW_STAGE_TASK,
            id=f"t_{run.id.partition('_')[2]}_{index}",
            app=run.app,
            run=run.id,
            name=stage.name,
            replica=index,
            resource_class="gpu" if stage.resources.gpu else "cpu",
            priority=run.priority,
            state="waiting" if run.plan.waits[stage.name] else "ready",
            created_at=run.created_at,
            image=get_image_id(stage.image),
        )
        for index, stage in enumerate(run.plan.stages)
    ]


def log_name(run: str, stage: str, attempt: int) -> str:
    return f"runs/{run}/{stage}/{attempt}"


def instance_log_name(task: Task) -> str:
    return f"instances/{task.id}/{task.attempt}"


def build_log_name(task: Task) -> str:
    return f"builds/{task.id}/{task.attempt}"


def attempt_area(run: str, stage: str, token: int) -> str:
    """Path prefix of one attempt's outputs. The token keeps a superseded attempt from writing to the same place."""
    return f"runs/{run}/{stage}/{token}"


def attempt_output(run: str, stage: str, token: int, variable: str) -> Location:
    return Location(area=f"{attempt_area(run, stage, token)}/{variable}")


def find_output_location(run: Run, task: Task, variable: str) -> Location:
    """Where an output of a succeeded stage is; of a stage from the cache it is with the run that produced it."""
    if task.result is not None and (reused := task.result.reused) is not None:
        return attempt_output(reused.run, reused.stage, reused.token, variable)
    return attempt_output(run.id, task.name, task.token, variable)


def build_stage_spec(run: Run, task: Task, siblings: Mapping[str, Task]) -> StageSpec:
    """The stage spec of a lease. `siblings`: the run's tasks by stage name, with those that produced the inputs."""
    producers, stage = run.plan.producers, run.get_stage(task)
    inputs: list[StageInput] = []
    for variable in stage.inputs:
        if variable in producers:
            source = find_output_location(run, siblings[producers[variable]], variable)
            inputs.append(StageInput(name=variable, kind="folder", source=source))
        elif (named_source := run.plan.sources.get(variable)) is not None:
            inputs.append(_stage_input(variable, named_source))
    outputs = [
        StageOutput(name=variable, target=attempt_output(run.id, task.name, task.token, variable))
        for variable in stage.outputs
    ]
    spec = StageSpec(
        run=run.id,
        pipeline=run.pipeline,
        stage=task.name,
        image=stage.image,
        entry_point=stage.entry_point,
        env=stage.env,
        secrets=stage.secrets,
        resources=stage.resources,
        read_only_root=stage.read_only_root,
        egress=stage.egress,
        image_credentials=stage.image_credentials,
        timeout=stage.timeout,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        log=log_name(run.id, task.name, task.attempt),
        cache=run.plan.cache if stage.cache else "off",
    )
    return spec.model_copy(update={"env_from": stage.env_from}) if stage.env_from else spec


def _stage_input(variable: str, source: InputSource) -> StageInput:
    if isinstance(source, InputValue):
        return StageInput(name=variable, kind="value", value=source.value, suffix=source.suffix, source=None)
    return StageInput(name=variable, kind="file" if source.file else "folder", source=source)


def publication_moves(run: Run, task: Task) -> list[Move]:
    """The moves of a finished stage's outputs to the targets of the submission."""
    targets = run.plan.targets
    return [
        Move(source=find_output_location(run, task, name), target=targets[name])
        for name in run.get_stage(task).outputs
        if name in targets
    ]
