"""Submission of runs and async predictions. These are hot routes, which bypass FastAPI."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from libs.common.errors import Invalid
from libs.common.http.hot_routes import OrjsonResponse, RouteRequest, post_route
from libs.common.identity import ANONYMOUS, OWNER_USER, caller_from_headers
from services.scheduler.callbacks import events, signing
from services.scheduler.dependencies import Dependencies
from services.scheduler.routes.dependencies import RETRY_AFTER_S, get_dependencies, parse_prefer_wait
from services.scheduler.runs import views, waiting
from services.scheduler.runs.writer import SubmittedRun

MAX_KEY_LENGTH = 255


async def submit_run(request: RouteRequest) -> Response:
    """Submit a run of the pipeline that is published at the path."""
    deps, ns, path, user, key = _parse_request(request)
    submitted = await deps.run_creator.submit_run(ns, path, user, await request.body(), key)
    if submitted.callback is None:
        return await _respond(deps, request, submitted, {})
    secret = signing.signing_secret(deps.settings.internal_token, ns, user, submitted.run.id)
    return await _respond(deps, request, submitted, {"callback": events.callback_to_json(submitted.callback, secret)})


async def submit_prediction(request: RouteRequest) -> Response:
    """Submit a prediction, as a run, to the component that is published at the path."""
    deps, ns, path, user, key = _parse_request(request)
    submitted = await deps.run_creator.submit_prediction(ns, path, user, await request.body(), key)
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


async def _respond(
    deps: Dependencies, request: RouteRequest, submitted: SubmittedRun, extra: dict[str, Any]
) -> Response:
    run = submitted.run
    headers = {"Location": f"/{run.app}/runs/{run.id}", "Retry-After": RETRY_AFTER_S}
    seconds = parse_prefer_wait(request.headers.get("prefer"))
    if seconds <= 0:
        return OrjsonResponse({**views.run_to_json(run, submitted.stages), **extra}, 202, headers)
    run, body = await waiting.wait_for_run(
        deps.db, deps.run_reads, deps.notifier, run.app, run.id, seconds, None, owner=run.user == OWNER_USER
    )
    headers = {"Location": headers["Location"], "Preference-Applied": "wait"} if run.is_final else headers
    return OrjsonResponse({**body, **extra}, 200 if run.is_final else 202, headers)


ROUTES = (
    post_route("/internal/apps/{ns}/apis/{path}/runs", submit_run),
    post_route("/internal/apps/{ns}/apis/{path}/calls", submit_prediction),
)
