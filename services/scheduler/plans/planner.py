"""From pipelines' manifests to a run's plan, and from the plan to what a worker is told. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from libs.common.identity import OWNER
from libs.common.locations import Location
from libs.common.manifests import stage_graph
from libs.common.manifests.configmap import ConfigMaps
from libs.common.manifests.container import in_order, secrets_of
from libs.common.manifests.data_flow import handed, open_variables, producer, written
from libs.common.manifests.experimentpipeline import ExperimentPipeline, Stage
from libs.common.memoize import kept
from services.scheduler.model.state import Run, Task


def planned(
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
    """The plan of a run; under `then` those of the runs that continue it, with what each is handed.

    `sources` and `targets` are locations (or values) by variable, as the caller named them; `config_maps` the app's.
    """
    plans = []
    for place, one in enumerate(chain):
        given = handed(chain[place - 1], one) if place else {}
        own = {name: sources[name] for name in open_variables(one) if name in sources and name not in given}
        last = {name for name in written(one) if producer(chain, name) == place}
        same = _same_for_all(one)
        plan = {
            **same,
            "stages": [*_configured(same["stages"], one, config_maps)],
            "commit": commit,
            "user": user,
            "sources": {**same["sources"], **own},
            "targets": {name: target for name, target in targets.items() if name in last},
            "outputs": [name for name in outputs if name in last],
            "cache": cache,
        }
        later = {"pipeline": one.metadata.name, "given": given, "began_with": chain[0].metadata.name}
        plans.append({**plan, **later} if place else plan)
    first, *then = plans
    if not then:
        return first
    whole = {"timeout": sum(one.spec.timeout for one in chain), "outputs": list(outputs), "then": then}
    return {**first, **whole}


@kept
def _same_for_all(one: ExperimentPipeline) -> dict[str, Any]:
    """What the plans of all runs of a pipeline have in common."""
    return {
        "timeout": one.spec.timeout,
        "sources": {name: source.to_json() for name, source in constants(one).items()},
        "stages": [_stage(stage) for stage in one.spec.stages],
        "waits": {name: sorted(waits) for name, waits in stage_graph.edges(one.spec.stages).items()},
    }


def _configured(
    stages: Sequence[dict[str, Any]], one: ExperimentPipeline, config_maps: ConfigMaps
) -> Iterator[dict[str, Any]]:
    """With the order of `envFrom` and the values, of stages that name a ConfigMap."""
    for stage, declared in zip(stages, one.spec.stages, strict=True):
        sources = in_order(declared.env_from, config_maps) if declared.env_from else []
        yield {**stage, "env_from": sources} if sources else stage


@kept
def constants(one: ExperimentPipeline) -> dict[str, Location]:
    """What `mountFrom` gives, by variable."""
    mounted = ((variable.name, variable.mount_from) for variable in one.spec.vars)
    return {name: _constant(source.box, source.path) for name, source in mounted if source}


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
        "secrets": secrets_of(stage.env_from),
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


def run_id() -> str:
    """Nobody can guess it: to some it is all that a run is protected by."""
    return f"r_{secrets.token_hex(10)}"


def stage_tasks(run: Run) -> list[Task]:
    """The run's tasks as they begin: those that wait for nothing are ready."""
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


def instance_log(task: Task) -> str:
    return f"instances/{task.id}/{task.attempt}"


def area(run: str, stage: str, token: int) -> str:
    """Where one attempt leaves its outputs: private to the claim, so that a superseded one can never mix in."""
    return f"runs/{run}/{stage}/{token}"


def output_area(run: str, stage: str, token: int, variable: str) -> Location:
    return Location(area=f"{area(run, stage, token)}/{variable}")


def left_at(run: Run, task: Task, variable: str) -> Location:
    """Where a stage that has succeeded left a variable; one from the cache left it to an earlier run."""
    reused = (task.result or {}).get("reused")
    if reused:
        return output_area(reused["run"], reused["stage"], reused["token"], variable)
    return output_area(run.id, task.name, task.token, variable)


def producers(run: Run) -> dict[str, str]:
    """Variable → the stage that writes it."""
    return {variable: stage["name"] for stage in run.plan["stages"] for variable in stage["outputs"]}


def work(run: Run, task: Task, siblings: Mapping[str, Task]) -> dict[str, Any]:
    """The stage spec of a lease. `siblings` are the run's tasks by stage name, the finished ones with their tokens."""
    writes, stage = producers(run), run.stage(task)
    inputs = []
    for variable in stage["inputs"]:
        if variable in writes:
            made_by = siblings[writes[variable]]
            source = left_at(run, made_by, variable)
            inputs.append({"name": variable, "kind": "folder", "source": source.to_json()})
        elif (given := run.plan["sources"].get(variable)) is not None:
            inputs.append({"name": variable, **_given(given)})
    outputs = [
        {"name": variable, "target": output_area(run.id, task.name, task.token, variable).to_json()}
        for variable in stage["outputs"]
    ]
    kept = ("image", "entry_point", "env", "secrets", "resources", "read_only_root", "egress", "image_credentials",
            "timeout")  # fmt: skip
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "stage": task.name,
        **{name: stage[name] for name in kept},
        **{name: stage[name] for name in ("env_from",) if name in stage},
        "inputs": inputs,
        "outputs": outputs,
        "log": log_name(run.id, task.name, task.attempt),
        "cache": run.plan.get("cache", "off") if stage.get("cache") else "off",
    }


def _given(source: Mapping[str, Any]) -> dict[str, Any]:
    if "value" in source:
        return {"kind": "value", "value": source["value"], "suffix": source["suffix"], "source": None}
    return {"kind": "file" if source.get("file") else "folder", "source": dict(source)}


def publications(run: Run, task: Task) -> list[dict[str, Any]]:
    """The moves that bring a finished stage's outputs to where the caller wanted them."""
    targets, outputs = run.plan["targets"], run.stage(task)["outputs"]
    return [
        {"source": left_at(run, task, name).to_json(), "target": targets[name]} for name in outputs if name in targets
    ]
