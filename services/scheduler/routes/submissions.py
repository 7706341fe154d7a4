"""Submission of runs and async predictions. These are hot routes, which bypass FastAPI."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from libs.common.errors import Invalid
from libs.common.http.api_document import Responses
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.hot_routes import OrjsonResponse, RouteRequest, post_route
from libs.common.http.response_shapes import JsonObject, response_shape
from libs.common.identity import ANONYMOUS, OWNER_USER, caller_from_headers
from services.scheduler.callbacks import signing
from services.scheduler.callbacks.views import CallbackJson, callback_to_json
from services.scheduler.dependencies import Dependencies
from services.scheduler.plans.callback_request import FINAL_EVENTS
from services.scheduler.plans.submission import MAX_LABELS, MAX_PRIORITY
from services.scheduler.routes.dependencies import RETRY_AFTER_S, PreferWait, get_dependencies, parse_prefer_wait
from services.scheduler.runs import long_poll, views
from services.scheduler.runs.new_runs import SubmittedRun
from services.scheduler.runs.views import RunJson

MAX_KEY_LENGTH = 255
RUNS_PATH = "/internal/apps/{ns}/apis/{path}/runs"
PREDICTIONS_PATH = "/internal/apps/{ns}/apis/{path}/calls"


async def submit_run(request: RouteRequest) -> Response:
    """Submit a run of the pipeline that is published at the path."""
    deps, ns, path, user, key = _parse_request(request)
    submitted = await deps.submission_handler.submit_run(ns, path, user, await request.body(), key)
    if submitted.callback is None:
        return await _respond(deps, request, submitted, {})
    secret = signing.signing_secret(deps.settings.internal_token, ns, user, submitted.run.id)
    return await _respond(deps, request, submitted, {"callback": callback_to_json(submitted.callback, secret)})


async def submit_prediction(request: RouteRequest) -> Response:
    """Submit a prediction, as a run, to the component that is published at the path."""
    deps, ns, path, user, key = _parse_request(request)
    submitted = await deps.submission_handler.submit_prediction(ns, path, user, await request.body(), key)
    return await _respond(deps, request, submitted, {})


def _parse_request(request: RouteRequest) -> tuple[Dependencies, str, str, str, str | None]:
    """The dependencies, app, path, user and Idempotency-Key of a submission."""
    user, key = caller_from_headers(request.headers).user, request.headers.get("idempotency-key")
    if key is not None and len(key) > MAX_KEY_LENGTH:
        raise Invalid(f"Idempotency-Key: at most {MAX_KEY_LENGTH} characters")
    if key is not None and user == ANONYMOUS:
        raise Invalid("Idempotency-Key: not available to anonymous callers; leave it out")
    params = request.path_params
    return get_dependencies(request), params["ns"], params["path"], user, key


async def _respond(deps: Dependencies, request: RouteRequest, submitted: SubmittedRun, extra: JsonObject) -> Response:
    run = submitted.run
    headers = {"Location": f"/{run.app}/runs/{run.id}", "Retry-After": RETRY_AFTER_S}
    seconds = parse_prefer_wait(request.headers.get("prefer"))
    if seconds <= 0:
        return OrjsonResponse({**views.run_to_json(run, submitted.stages), **extra}, 202, headers)
    run, body = await long_poll.wait_for_run(
        deps.db, deps.run_reads, deps.notifier, run.app, run.id, seconds, None, owner=run.user == OWNER_USER
    )
    headers = {"Location": headers["Location"], "Preference-Applied": "wait"} if run.is_final else headers
    return OrjsonResponse({**body, **extra}, 200 if run.is_final else 202, headers)


ROUTES = (
    post_route(RUNS_PATH, submit_run),
    post_route(PREDICTIONS_PATH, submit_prediction),
)


class CallbackBody(BaseModel):
    """An address that is posted to when the run changes."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(examples=["https://lab.example/done"])]
    events: Annotated[list[str], Field(examples=[["succeeded", "failed"]])] = list(FINAL_EVENTS)
    headers: dict[str, str] = {}


class RunRequest(BaseModel):
    """A run to submit; inputs and outputs are those of the API, as its own document describes them."""

    model_config = ConfigDict(extra="forbid")

    inputs: Annotated[JsonObject, Field(examples=[{"data": "results/raw/data.csv"}])] = {}
    outputs: Annotated[dict[str, str], Field(examples=[{"model": "results/models/"}])] = {}
    """Folders to publish to, by variable."""
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    labels: Annotated[dict[str, str], Field(max_length=MAX_LABELS)] = {}
    callback: CallbackBody | None = None
    cache: Literal["off", "read", "refresh"] = "read"


@response_shape
class SubmittedRunJson(RunJson):
    """The run, with its callback if there is one."""

    callback: NotRequired[CallbackJson]


operations = DocumentedRouter(tags=["runs"])
"""Describes the hot routes in the OpenAPI document; `RunRequest` is what `submission` validates."""
IdempotencyKey = Annotated[str | None, Header(max_length=MAX_KEY_LENGTH, description="For callers with credentials.")]
SUBMITTED: Responses = {
    200: {"model": SubmittedRunJson, "description": "The run, which has ended within `Prefer: wait`"},
    202: {"description": "The run, at `Location`"},
}


@operations.post(RUNS_PATH, operation_id="submit_run", summary="Submit run", status_code=202, responses=SUBMITTED)
async def describe_submit_run(
    ns: str, path: str, body: RunRequest, idempotency_key: IdempotencyKey = None, prefer: PreferWait = None
) -> SubmittedRunJson:
    """The same key with the same body returns the first run; with another body it is refused."""
    raise NotImplementedError


@operations.post(PREDICTIONS_PATH, operation_id="submit_prediction", status_code=202)
async def describe_submit_prediction(ns: str, path: str) -> RunJson:
    raise NotImplementedError
