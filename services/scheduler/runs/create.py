"""How runs begin: what callers and schedules ask for becomes a run, checked against the live revision."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from libs.common.errors import Invalid, NotFound, Unavailable
from libs.common.json_nul import says_nul
from libs.common.manifests.apicomponent import APIComponent, ApiSpec
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.data_flow import following
from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.memoize import kept
from services.scheduler.callbacks import credentials
from services.scheduler.dependencies import Parts
from services.scheduler.model.run import Run
from services.scheduler.plans import submission
from services.scheduler.plans.planner import new_run_id
from services.scheduler.runs import async_prediction
from services.scheduler.runs.writer import Admitted, Request

MAX_DEPTH = 128
"""Lists and objects within one another: documents that hold a body are written by orjson, which stops at 254."""


async def published(parts: Parts, app: str, path: str) -> tuple[Catalog, APIComponent, str]:
    """The live catalog, its pipeline's API at `path`, and the live commit. Raises NotFound."""
    catalog, commit = await parts.catalogs.live(app)
    if path not in (found := _of_pipelines(catalog)):
        raise NotFound(f"{app} publishes no pipeline at {path}")
    return catalog, found[path], commit


@kept
def _of_pipelines(catalog: Catalog) -> dict[str, APIComponent]:
    """The published APIs of pipelines, by path."""
    found = [api for api in catalog.apis.values() if api.spec.published and api.spec.experiment_pipeline]
    return {api.spec.restful_api.path: api for api in reversed(found) if api.spec.restful_api.path}


async def submit(parts: Parts, app: str, path: str, user: str, raw: bytes, key: str | None) -> Admitted:
    """A new run, or the one that this Idempotency-Key made before. Raises Invalid, Conflict, TooManyRequests."""
    catalog, api, commit = await published(parts, app, path)
    assert api.spec.experiment_pipeline is not None  # noqa: S101  `published` chose it by this
    body = _decoded(raw)
    chain = chain_of(catalog, api.spec.experiment_pipeline.name)
    who = submission.Submitter(app, user, catalog.boxes)
    spec, configs = api.spec.api_spec or ApiSpec(), catalog.config_maps
    asked = submission.parse_submission(
        chain, spec, body, user=who, commit=commit, run=new_run_id(), config_maps=configs
    )
    await check_files(parts, app, asked)
    await _may_be_called(parts, asked.callback)
    run, told = draft(app, chain, asked, user), asked.callback
    if told is not None:
        told = credentials.sealed(parts.settings.internal_token, run.id, told)
    made = await parts.admissions.admit(Request(run, path, key, "" if key is None else _hash(body), told))
    parts.wakes.hurry()
    return made


async def call(parts: Parts, app: str, path: str, user: str, raw: bytes, key: str | None) -> Admitted:
    """A prediction as a run, or the one that this key made before. Raises as `submit` does."""
    run = await async_prediction.drafted(parts, app, path, user, raw)
    made = None
    try:
        made = await parts.admissions.admit(Request(run, path, key, hashlib.sha256(raw).hexdigest()))
        parts.wakes.hurry()
        return made
    finally:
        if made is None or made.run.id != run.id:
            await async_prediction.discard(parts, run)


def chain_of(catalog: Catalog, pipeline: str) -> tuple[ExperimentPipeline, ...]:
    """The pipeline and those that continue it. Raises NotFound."""
    if pipeline not in catalog.pipelines:
        raise NotFound(f"there is no pipeline {pipeline}")
    return following(catalog.pipelines, pipeline)


def api_of(catalog: Catalog, pipeline: str) -> ApiSpec | None:
    """What the pipeline's first API says of its inputs and outputs."""
    specs = (api.spec for _, api in sorted(catalog.apis.items()))
    return next(
        (one.api_spec for one in specs if one.experiment_pipeline and one.experiment_pipeline.name == pipeline), None
    )


def draft(app: str, chain: Sequence[ExperimentPipeline], asked: submission.Submission, user: str) -> Run:
    """The run before it is admitted, which is when it begins."""
    return Run(
        id=asked.run,
        app=app,
        pipeline=chain[0].metadata.name,
        user=user,
        status="queued",
        plan=asked.plan,
        inputs=asked.inputs,
        outputs=asked.outputs,
        labels=asked.labels,
        priority=asked.priority,
        chain=asked.run if len(chain) > 1 else None,
        position=0 if len(chain) > 1 else None,
        created_at=0.0,
    )


def _decoded(raw: bytes) -> Any:
    try:
        body = orjson.loads(async_prediction.within(raw) or b"{}")
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from error
    if says_nul(raw.decode()):
        raise Invalid("the body has the character U+0000 in a text, which cannot be kept; leave it out")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deeper(body, MAX_DEPTH):
        raise Invalid(f"the body is nested more than {MAX_DEPTH} levels deep")
    return body


def _is_deeper(body: Any, levels: int) -> bool:
    level = [body]
    for _ in range(levels):
        within = [one.values() if isinstance(one, dict) else one for one in level]
        level = [value for values in within for value in values if isinstance(value, dict | list)]
    return bool(level)


def _hash(body: Any) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def check_files(parts: Parts, app: str, asked: submission.Submission) -> None:
    """Raises Invalid, which names what is missing, and outputs that nothing could be published to."""
    if not asked.required_locations and not asked.targets:
        return
    body = {
        "locations": [location.to_json() for _, location in asked.required_locations],
        "links": False,
        "targets": [location.to_json() for _, location in asked.targets],
    }
    try:
        answer = await parts.peers.databox.post(f"/internal/apps/{app}/sources", body)
    except Unavailable:
        if asked.required_locations:
            raise
        return  # nothing is needed yet, and room may be found later
    found = zip(asked.required_locations, answer["sources"], strict=True)
    judged = zip(asked.targets, answer.get("refusals", ()), strict=False)
    errors = [(name, f"{place} does not exist") for (name, place), files in found if not files]
    errors += [(name, why) for (name, _), why in judged if why]
    if errors:
        listed = [{"input": name, "message": message} for name, message in errors]
        raise Invalid(f"{errors[0][0]}: {errors[0][1]}", errors=listed)


async def _may_be_called(parts: Parts, asked: dict[str, Any] | None) -> None:
    if asked is not None and (why := await parts.outside.refused(asked["url"])) is not None:
        sentence = f"url: {why}; callbacks reach public addresses, and what MLMESH_CALLBACK_NETWORKS allows"
        raise Invalid(f"callback: {sentence}", errors=[{"input": "callback", "message": sentence}])
