"""Admission: accepts new runs or refuses them, by their Idempotency-Keys and the app's quota of waiting runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libs.common.errors import Invalid, MeshError, TooManyRequests
from services.scheduler.db import Connection, idempotency, tasks
from services.scheduler.db import runs as run_rows
from services.scheduler.model.callback import CallbackRequest
from services.scheduler.model.run import Run
from services.scheduler.runs.new_runs import SubmittedRun, start_run

BUSY_RETRY_S = 5.0


@dataclass(frozen=True)
class SubmitRequest:
    """A run to insert. `key`: its Idempotency-Key; `body_hash`: of the request body."""

    run: Run
    path: str
    key: str | None
    body_hash: str
    callback: CallbackRequest | None = None

    @property
    def idempotency_key(self) -> idempotency.IdempotencyKey | None:
        if self.key is None:
            return None
        return idempotency.IdempotencyKey(self.run.app, self.run.user, self.path, self.key)


Outcome = SubmittedRun | MeshError


async def count_remaining(
    conn: Connection, requests: Iterable[SubmitRequest], limit: int
) -> tuple[dict[str, int], float]:
    """How many more runs of each app may wait, and the time in epoch seconds."""
    remaining, now = {}, 0.0
    for app in {request.run.app for request in requests}:
        waiting, now = await run_rows.count_queued(conn, app, limit)
        remaining[app] = limit - waiting
    return remaining, now


async def resolve_batch(
    conn: Connection, requests: Sequence[SubmitRequest], remaining: dict[str, int], limit: int, now: float
) -> tuple[list[Outcome], list[SubmittedRun]]:
    """The outcome of each request, in order, and the new runs among them, which are not inserted yet.

    `remaining`: quota by app, which this decrements, out of `limit`.
    """
    keyed_requests = [
        idempotency.KeyedRequest(key, request.body_hash, request.run.id)
        for request in requests
        if (key := request.idempotency_key) is not None
    ]
    new_keys = await idempotency.insert_keys(conn, keyed_requests, now)
    outcomes: list[Outcome] = []
    new: list[SubmittedRun] = []
    for request in requests:
        key = request.idempotency_key
        if key is not None and new_keys.get(key) != request.run.id:
            outcomes.append(await _find_existing(conn, request, new))
        elif remaining[request.run.app] <= 0:
            if key is not None:
                await idempotency.delete_key(conn, key)
            message = f"{request.run.app} has reached its limit of {limit} waiting runs"
            outcomes.append(TooManyRequests(message, retry_after=BUSY_RETRY_S))
        else:
            remaining[request.run.app] -= 1
            new.append(start_run(request.run, now, request.callback))
            outcomes.append(new[-1])
    return outcomes, new


async def _find_existing(conn: Connection, request: SubmitRequest, new: Sequence[SubmittedRun]) -> Outcome:
    """The outcome of the first request with this key, which may be in the same batch."""
    assert request.idempotency_key is not None  # noqa: S101  only requests with a key get here
    existing = await idempotency.find_key(conn, request.idempotency_key)
    if existing is None:  # rejected a moment ago, in the same transaction
        return TooManyRequests("the first request with this Idempotency-Key was refused", retry_after=BUSY_RETRY_S)
    body_hash, run_id = existing
    if body_hash != request.body_hash:
        return Invalid("this Idempotency-Key was used with another body; use a new one")
    if (in_batch := next((submitted for submitted in new if submitted.run.id == run_id), None)) is not None:
        return in_batch
    run = await run_rows.get(conn, request.run.app, run_id)
    assert run is not None  # noqa: S101  deleting a run deletes its keys
    return SubmittedRun(run, await tasks.list_by_run(conn, run_id), request.callback)
