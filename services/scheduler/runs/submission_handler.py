"""Submission handler: validates a submission against the live revision, and hands the new run to the writer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from libs.common.errors import Invalid, NotFound, Unavailable
from libs.common.http.client import ServiceClient, ServiceClients
from libs.common.http.public_client import PublicHttpClient
from libs.common.json_nul import contains_nul
from libs.common.manifests.apicomponent import APIComponent, ApiSpec
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.data_flow import follow_chain
from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.memoize import memoize_by_identity
from libs.common.protocol.staging import SourcesRequest, SourcesResponse
from libs.common.settings import Settings
from services.scheduler import credential_encryption
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.callback import CallbackRequest
from services.scheduler.model.run import Run
from services.scheduler.plans import submission, submitted_values
from services.scheduler.plans.planner import new_run_id
from services.scheduler.runs import async_prediction
from services.scheduler.runs.batch_writer import RunBatchWriter
from services.scheduler.runs.new_runs import SubmittedRun, log_submission
from services.scheduler.runs.submission_admission import SubmitRequest

MAX_DEPTH = 128
"""Nesting limit of a body: orjson writes at most 254 levels, and stored documents wrap the body in some."""


async def find_pipeline_api(catalogs: LiveCatalogCache, app: str, path: str) -> tuple[Catalog, APIComponent, str]:
    """The live catalog, its pipeline's API at `path`, and the live commit. Raises NotFound."""
    catalog, commit = await catalogs.get_live(app)
    if path not in (apis := _pipeline_apis(catalog)):
        raise NotFound(f"{app} publishes no pipeline at {path}")
    return catalog, apis[path], commit


@memoize_by_identity
def _pipeline_apis(catalog: Catalog) -> dict[str, APIComponent]:
    """The published APIs that start pipelines, by path."""
    apis = [api for api in catalog.apis.values() if api.spec.published and api.spec.experiment_pipeline]
    return {api.spec.restful_api.path: api for api in reversed(apis) if api.spec.restful_api.path}


def resolve_chain(catalog: Catalog, pipeline: str) -> tuple[ExperimentPipeline, ...]:
    """The pipeline and its successors (`continueWith`). Raises NotFound."""
    if pipeline not in catalog.pipelines:
        raise NotFound(f"no pipeline {pipeline}")
    return follow_chain(catalog.pipelines, pipeline)


def first_api_spec(catalog: Catalog, pipeline: str) -> ApiSpec | None:
    """The spec of the first API of the pipeline; None without an API."""
    specs = (api.spec for _, api in sorted(catalog.apis.items()))
    return next(
        (spec.api_spec for spec in specs if spec.experiment_pipeline and spec.experiment_pipeline.name == pipeline),
        None,
    )


def build_run(app: str, chain: Sequence[ExperimentPipeline], accepted: submission.Submission, user: str) -> Run:
    """The run before the writer assigns its creation time."""
    return Run(
        id=accepted.run,
        app=app,
        pipeline=chain[0].metadata.name,
        user=user,
        status="queued",
        plan=accepted.plan,
        inputs=accepted.inputs,
        outputs=accepted.outputs,
        labels=accepted.labels,
        priority=accepted.priority,
        chain=accepted.run if len(chain) > 1 else None,
        position=0 if len(chain) > 1 else None,
        created_at=0.0,
    )


def _decode_body(raw: bytes) -> Any:
    try:
        body = orjson.loads(async_prediction.check_body_size(raw) or b"{}")
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from error
    if contains_nul(raw.decode()):
        raise Invalid("the body contains the character U+0000, which cannot be stored; remove it")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_nested_deeper(body, MAX_DEPTH):
        raise Invalid(f"the body is nested more than {MAX_DEPTH} levels deep")
    return body


def _is_nested_deeper(body: Any, levels: int) -> bool:
    level = [body]
    for _ in range(levels):
        children = [node.values() if isinstance(node, dict) else node for node in level]
        level = [value for values in children for value in values if isinstance(value, dict | list)]
    return bool(level)


def _hash_body(body: Any) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def check_locations(databox: ServiceClient, app: str, accepted: submission.Submission) -> None:
    """Check with databox. Raises Invalid, naming missing inputs and output folders that cannot be written."""
    if not accepted.required_locations and not accepted.targets:
        return
    query = SourcesRequest(
        locations=tuple(location for _, location in accepted.required_locations),
        links=False,
        targets=tuple(location for _, location in accepted.targets),
    )
    try:
        response = SourcesResponse.model_validate(await databox.post(f"/internal/apps/{app}/sources", query.to_json()))
    except Unavailable:
        if accepted.required_locations:
            raise
        return  # no input is required, and the outputs are checked again when they are published
    sources = zip(accepted.required_locations, response.sources, strict=True)
    refusals = zip(accepted.targets, response.refusals, strict=False)
    errors = [(name, f"{location} does not exist") for (name, location), files in sources if not files]
    errors += [(name, why) for (name, _), why in refusals if why]
    if errors:
        listed = [{"input": name, "message": message} for name, message in errors]
        raise Invalid(f"{errors[0][0]}: {errors[0][1]}", errors=listed)


async def _check_callback_url(public_http: PublicHttpClient, callback: CallbackRequest | None) -> None:
    if callback is not None and (why := await public_http.explain_refusal(callback.url)) is not None:
        message = f"url: {why}; callbacks reach public addresses, and what MLMESH_CALLBACK_NETWORKS allows"
        raise Invalid(f"callback: {message}", errors=[{"input": "callback", "message": message}])


@dataclass(frozen=True)
class SubmissionHandler:
    """Creates runs and async predictions from requests."""

    services: ServiceClients
    catalogs: LiveCatalogCache
    public_http: PublicHttpClient
    run_writer: RunBatchWriter
    triggers: LoopTriggers
    settings: Settings

    async def submit_run(self, app: str, path: str, user: str, raw: bytes, key: str | None) -> SubmittedRun:
        """A new run, or the existing one of this Idempotency-Key. Raises Invalid, Conflict, TooManyRequests."""
        catalog, api, commit = await find_pipeline_api(self.catalogs, app, path)
        assert api.spec.experiment_pipeline is not None  # noqa: S101  only such APIs are found
        body = _decode_body(raw)
        chain = resolve_chain(catalog, api.spec.experiment_pipeline.name)
        submitter = submitted_values.Submitter(app, user, catalog.boxes)
        spec, configs = api.spec.api_spec or ApiSpec(), catalog.config_maps
        accepted = submission.parse_submission(
            chain, spec, body, user=submitter, commit=commit, run=new_run_id(), config_maps=configs
        )
        await check_locations(self.services.databox, app, accepted)
        await _check_callback_url(self.public_http, accepted.callback)
        run, callback = build_run(app, chain, accepted, user), accepted.callback
        if callback is not None:
            callback = credential_encryption.encrypt_headers(self.settings.internal_token, run.id, callback)
        submitted = await self.run_writer.submit(
            SubmitRequest(run, path, key, "" if key is None else _hash_body(body), callback)
        )
        self.triggers.hurry_timers()
        if submitted.run.id == run.id:
            log_submission(submitted.run)
        return submitted

    async def submit_prediction(self, app: str, path: str, user: str, raw: bytes, key: str | None) -> SubmittedRun:
        """A prediction as a run, or the existing one of this key. Raises as `submit_run` does."""
        run = await async_prediction.prepare_async_prediction(self.services, self.catalogs, app, path, user, raw)
        submitted = None
        try:
            submitted = await self.run_writer.submit(SubmitRequest(run, path, key, hashlib.sha256(raw).hexdigest()))
            self.triggers.hurry_timers()
            if submitted.run.id == run.id:
                log_submission(submitted.run)
            return submitted
        finally:
            if submitted is None or submitted.run.id != run.id:
                await async_prediction.delete_stored_request(self.services.databox, run)
