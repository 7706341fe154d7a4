"""An async prediction: a run with one stage, which sends the stored request to the component until it answers."""

from __future__ import annotations

import io
import time

import aiohttp
import orjson
from yarl import URL

from libs.common.errors import Malformed, MeshError, NotFound, TooLarge, Unavailable
from libs.common.http.client import ServiceClient, ServiceClients
from libs.common.locations import Location
from libs.common.log import get
from libs.common.manifests.experimentpipeline import Retries
from libs.common.manifests.mlcomponent import MLComponent
from libs.common.protocol.stage import PredictionCall
from libs.common.protocol.staging import TargetFile, TargetsRequest, TargetsResponse
from libs.common.signed_tokens import Grant, GrantSigner
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.model.run import Run
from services.scheduler.model.run_plan import ComponentCall, RunPlan, StagePlan
from services.scheduler.plans.planner import build_retry_policy, new_run_id

STAGE_NAME = "predict"
REQUEST_VARIABLE = "request"
MAX_BODY_BYTES = 10_000_000
MAX_WAIT_S = 3600.0
"""How long the run waits for an instance."""


async def prepare_async_prediction(
    services: ServiceClients, catalogs: LiveCatalogCache, app: str, path: str, user: str, raw: bytes
) -> Run:
    """Store the request body and build the run. Raises NotFound, Malformed, TooLarge."""
    component, commit = await _find_component(catalogs, app, path)
    raw = check_body_size(raw) or b"{}"
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    prediction_id = new_run_id()
    source = Location(area=f"runs/{prediction_id}/{REQUEST_VARIABLE}", file="body.json")
    await _store_request(services, app, source, raw)
    plan = build_prediction_plan(component, path, commit=commit, user=user, source=source)
    return Run(
        id=prediction_id,
        app=app,
        pipeline=component.metadata.name,
        user=user,
        status="queued",
        plan=plan,
        created_at=0.0,
    )


def check_body_size(raw: bytes) -> bytes:
    """The body unchanged. Raises TooLarge."""
    if len(raw) > MAX_BODY_BYTES:
        raise TooLarge(f"the request body exceeds the limit of {MAX_BODY_BYTES} bytes", limit=MAX_BODY_BYTES)
    return raw


async def delete_stored_request(databox: ServiceClient, draft: Run) -> None:
    """Delete the stored request body of a run that was not created."""
    try:
        await databox.delete(f"/internal/apps/{draft.app}/areas/runs/{draft.id}")
    except MeshError as error:
        get("scheduler").warning("Failed to delete the request of a rejected run", run=draft.id, why=error.detail)


def build_prediction_plan(component: MLComponent, path: str, *, commit: str, user: str, source: Location) -> RunPlan:
    timeout = component.spec.ml_service.timeout
    stage = StagePlan(
        name=STAGE_NAME,
        image=component.spec.image.existing_image_name,
        timeout=timeout + MAX_WAIT_S,
        retries=build_retry_policy(Retries()),
        inputs=(REQUEST_VARIABLE,),
        call=ComponentCall(path, timeout),
    )
    return RunPlan(
        commit=commit,
        timeout=timeout + MAX_WAIT_S,
        user=user,
        sources={REQUEST_VARIABLE: source},
        stages=(stage,),
        waits={STAGE_NAME: ()},
    )


def grant_call(internal_token: str, run: Run, call: ComponentCall) -> PredictionCall:
    """The call with a grant: the worker sends it on behalf of the run's user."""
    expires = time.time() + call.timeout + 2 * MAX_WAIT_S
    grant = Grant(run.app, run.user, (), expires, call.path)
    return PredictionCall(path=call.path, timeout=call.timeout, grant=GrantSigner(internal_token).sign(grant))


async def _find_component(catalogs: LiveCatalogCache, app: str, path: str) -> tuple[MLComponent, str]:
    catalog, commit = await catalogs.get_live(app)
    for api in catalog.apis.values():
        target = api.spec.ml_component
        if target is not None and api.spec.published and api.spec.restful_api.path == path:
            return catalog.components[target.name], commit
    raise NotFound(f"{app} publishes no component at {path}")


async def _store_request(services: ServiceClients, app: str, location: Location, content: bytes) -> None:
    query = TargetsRequest(files=(TargetFile(location=location, size=len(content)),))
    response = await services.databox.post(f"/internal/apps/{app}/targets", query.to_json())
    url = URL(TargetsResponse.model_validate(response).targets[0].url, encoded=True)
    headers = {"Content-Type": "application/octet-stream"}
    try:
        async with services.session.put(url, data=io.BytesIO(content), headers=headers) as response:
            if response.status >= 400:
                raise Unavailable(f"the object store rejected the request body: HTTP {response.status}")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable("the object store is unreachable") from error
