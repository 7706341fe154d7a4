"""Runs an asynchronous prediction: posts the caller's request to the component until it responds."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Literal

import aiohttp
import orjson

from libs.common.errors import MeshError, TimedOut, TooManyRequests, Unavailable, from_problem
from libs.common.protocol.report import FailureDetails
from libs.common.protocol.stage import PredictionCall, StageSpec
from libs.common.signed_tokens import GRANT_HEADER
from services.worker.context import WorkerContext
from services.worker.failures import TaskFailed
from services.worker.files import stage_in
from services.worker.files.log_uploader import LogUploader
from services.worker.held_tasks import HeldTask
from services.worker.outcome import Outcome

REQUEST_VARIABLE = "request"
"""The input variable whose file is the request body."""
RESPONSE_FIELDS: tuple[Literal["errors", "error_id", "error"], ...] = ("errors", "error_id", "error")
"""Fields of a component's error response that are reported."""
MAX_RESPONSE_BYTES = 10_000_000
RETRY_DELAY_S = 1.0
TIMEOUT_MARGIN_S = 5.0
"""The gateway's own timeout must fire first: its error says more."""


class AsyncPrediction:
    def __init__(self, context: WorkerContext, held_task: HeldTask, spec: StageSpec, call: PredictionCall) -> None:
        self.context, self.held_task, self.lease = context, held_task, held_task.lease
        self.spec, self.call = spec, call
        self.folder = context.task_folder(held_task.lease)
        self.log = LogUploader(held_task, self.folder, context.runtime, context.peers)

    async def run(self, *, adopted: bool) -> Outcome:
        """Raises TaskFailed."""
        peers, file_cache = self.context.peers, self.context.file_cache
        await stage_in.prepare_inputs(self.lease.app, self.spec, self.folder, peers, file_cache)
        self.held_task.update_status(state="running")
        started_at = time.time()
        body = stage_in.variable_paths(self.spec, self.folder)[REQUEST_VARIABLE]
        try:
            async with asyncio.timeout(self.spec.timeout):
                response = await self._call_until_answered(body)
        except TimeoutError as error:
            raise TaskFailed("timeout", f"no response within {self.spec.timeout:g} s") from error
        return Outcome("succeeded", answer=response, usage={"duration": round(time.time() - started_at, 3)})

    async def _call_until_answered(self, body: Path) -> dict[str, object]:
        while True:
            try:
                return await self._call_once(body)
            except (Unavailable, TooManyRequests) as error:
                self.held_task.update_status(detail=error.detail)
                await asyncio.sleep(max(RETRY_DELAY_S, float(error.extensions.get("retry_after") or 0)))
            except TimedOut as error:
                raise TaskFailed("timeout", error.detail) from error
            except MeshError as error:
                raise TaskFailed("error", error.detail, **_error_details(error)) from error

    async def _call_once(self, body: Path) -> dict[str, object]:
        """Raises the error of the component or the gateway."""
        url = f"{await self.context.runtime.gateway_url(self.lease.app)}/{self.lease.app}/{self.call.path}/predict"
        headers = {GRANT_HEADER.decode(): self.call.grant, "Content-Type": "application/json"}
        limit = aiohttp.ClientTimeout(total=self.call.timeout + TIMEOUT_MARGIN_S)
        try:
            data = io.BytesIO(await asyncio.to_thread(body.read_bytes))
            async with self.context.peers.session.post(url, data=data, headers=headers, timeout=limit) as response:
                status, content = response.status, await _read_limited(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the gateway cannot be reached at {url}") from error
        if status >= 400:
            raise from_problem(status, _parse_json(content))
        return _parse_json(content)


def _error_details(error: MeshError) -> FailureDetails:
    """The status, and what the component's response says in these fields."""
    details = FailureDetails(status=error.status)
    for name in RESPONSE_FIELDS:
        if name in error.extensions:
            details[name] = error.extensions[name]
    return details


async def _read_limited(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > MAX_RESPONSE_BYTES:
            raise TaskFailed("output", f"the response is larger than {MAX_RESPONSE_BYTES} bytes")
    return bytes(content)


def _parse_json(content: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"detail": content[:500].decode(errors="replace")}
