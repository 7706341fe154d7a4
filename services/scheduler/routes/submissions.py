"""New runs. Plain routes: these are called most, and the framework's own work would be a quarter of theirs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from libs.common.errors import Invalid
from libs.common.http.direct import Answer, post
from libs.common.identity import caller
from services.scheduler import callback, runs, starts, views
from services.scheduler.admission import Admitted
from services.scheduler.parts import Parts
from services.scheduler.routes.parts import RETRY_AFTER_S, preferred_wait

MAX_KEY = 255


async def submit(request: Request) -> Response:
    """A run of the pipeline that is published at the path."""
    parts, ns, path, user, key = _asked(request)
    made = await starts.submit(parts, ns, path, user, await request.body(), key)
    if made.callback is None:
        return await _submitted(parts, request, made, {})
    secret = callback.secret(parts.settings.internal_token, ns, user)
    return await _submitted(parts, request, made, {"callback": callback.described(made.callback, secret)})


async def call(request: Request) -> Response:
    """A prediction of the component that is published at the path, as a run."""
    parts, ns, path, user, key = _asked(request)
    made = await starts.call(parts, ns, path, user, await request.body(), key)
    return await _submitted(parts, request, made, {})


def _asked(request: Request) -> tuple[Parts, str, str, str, str | None]:
    """The parts, app, path, user and Idempotency-Key."""
    key = request.headers.get("idempotency-key")
    if key is not None and len(key) > MAX_KEY:
        raise Invalid(f"Idempotency-Key: at most {MAX_KEY} characters")
    given = request.path_params
    return request.app.state.parts, given["ns"], given["path"], caller(request.headers).user, key


async def _submitted(parts: Parts, request: Request, made: Admitted, more: dict[str, Any]) -> Response:
    run = made.run
    headers = {"Location": f"/{run.app}/runs/{run.id}", "Retry-After": RETRY_AFTER_S}
    seconds = preferred_wait(request.headers.get("prefer"))
    if seconds <= 0:
        return Answer({**views.run(run, made.stages), **more}, 202, headers)
    run, shown = await runs.wait(parts, run.app, run.id, seconds, None)
    headers = {"Location": headers["Location"], "Preference-Applied": "wait"} if run.ended else headers
    return Answer({**shown, **more}, 200 if run.ended else 202, headers)


ROUTES = (
    post("/internal/apps/{ns}/apis/{path}/runs", submit),
    post("/internal/apps/{ns}/apis/{path}/calls", call),
)
