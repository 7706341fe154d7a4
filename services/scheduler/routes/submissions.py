"""New runs. Direct routes: few are called more."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from libs.common.errors import Invalid
from libs.common.http.hot_routes import Answer, Asked, post
from libs.common.identity import ANONYMOUS, OWNER, caller
from services.scheduler.callbacks import events
from services.scheduler.dependencies import Parts
from services.scheduler.routes.dependencies import RETRY_AFTER_S, parts_of, preferred_wait
from services.scheduler.runs import create, queries, views
from services.scheduler.runs.writer import Admitted

MAX_KEY = 255


async def submit(asked: Asked) -> Response:
    """A run of the pipeline that is published at the path."""
    parts, ns, path, user, key = _read(asked)
    made = await create.submit(parts, ns, path, user, await asked.body(), key)
    if made.callback is None:
        return await _submitted(parts, asked, made, {})
    secret = events.secret(parts.settings.internal_token, ns, user, made.run.id)
    return await _submitted(parts, asked, made, {"callback": events.described(made.callback, secret)})


async def call(asked: Asked) -> Response:
    """A prediction of the component that is published at the path, as a run."""
    parts, ns, path, user, key = _read(asked)
    made = await create.call(parts, ns, path, user, await asked.body(), key)
    return await _submitted(parts, asked, made, {})


def _read(asked: Asked) -> tuple[Parts, str, str, str, str | None]:
    """The parts, app, path, user and Idempotency-Key."""
    user, key = caller(asked.headers).user, asked.headers.get("idempotency-key")
    if key is not None and len(key) > MAX_KEY:
        raise Invalid(f"Idempotency-Key: at most {MAX_KEY} characters")
    if key is not None and user == ANONYMOUS:
        raise Invalid("Idempotency-Key: callers without credentials cannot be told apart; leave it out")
    given = asked.path
    return parts_of(asked), given["ns"], given["path"], user, key


async def _submitted(parts: Parts, asked: Asked, made: Admitted, more: dict[str, Any]) -> Response:
    run = made.run
    headers = {"Location": f"/{run.app}/runs/{run.id}", "Retry-After": RETRY_AFTER_S}
    seconds = preferred_wait(asked.headers.get("prefer"))
    if seconds <= 0:
        return Answer({**views.run(run, made.stages), **more}, 202, headers)
    run, shown = await queries.wait(parts, run.app, run.id, seconds, None, owner=run.user == OWNER)
    headers = {"Location": headers["Location"], "Preference-Applied": "wait"} if run.is_final else headers
    return Answer({**shown, **more}, 200 if run.is_final else 202, headers)


ROUTES = (
    post("/internal/apps/{ns}/apis/{path}/runs", submit),
    post("/internal/apps/{ns}/apis/{path}/calls", call),
)
