"""A prediction as a job: the caller's request, sent to the component until it is answered."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path

import aiohttp
import orjson

from libs.common.errors import MeshError, TimedOut, TooManyRequests, Unavailable, from_problem
from libs.common.grants import GRANT
from services.worker.context import Host
from services.worker.failures import Failed
from services.worker.files import stage_in
from services.worker.files.log_uploader import Log
from services.worker.held_tasks import Holding
from services.worker.outcome import Outcome

REQUEST = "request"
"""The variable whose file is the body."""
ANSWER_BYTES = 10_000_000
PAUSE_S = 1.0
MARGIN_S = 5.0
"""The gateway's own deadline comes first, because its answer says more."""


class Call:
    def __init__(self, host: Host, holding: Holding) -> None:
        self.host, self.holding, self.lease = host, holding, holding.lease
        self.folder = host.folder(holding.lease)
        self.log = Log(self.lease, self.folder, host.runtime, host.peers)

    async def run(self, *, adopted: bool) -> Outcome:
        """Raises Failed."""
        await stage_in.bring(self.lease, self.folder, self.host.peers, self.host.shelf)
        self.holding.show(state="running")
        began = time.time()
        body = stage_in.paths(self.lease, self.folder)[REQUEST]
        try:
            async with asyncio.timeout(self.lease.spec["timeout"]):
                answer = await self._answered(body)
        except TimeoutError as error:
            limit = self.lease.spec["timeout"]
            raise Failed("timeout", f"nobody answered within {limit:g} s") from error
        return Outcome("succeeded", answer=answer, usage={"duration": round(time.time() - began, 3)})

    async def _answered(self, body: Path) -> object:
        while True:
            try:
                return await self._once(body)
            except (Unavailable, TooManyRequests) as error:
                self.holding.show(detail=error.detail)
                await asyncio.sleep(max(PAUSE_S, float(error.members.get("retry_after") or 0)))
            except TimedOut as error:
                raise Failed("timeout", error.detail) from error
            except MeshError as error:
                more = {name: error.members[name] for name in ("errors", "error_id", "error") if name in error.members}
                raise Failed("error", error.detail, status=error.status, **more) from error

    async def _once(self, body: Path) -> object:
        """Raises what the component or the gateway said."""
        asked = self.lease.spec["call"]
        url = f"{await self.host.runtime.gateway_url(self.lease.app)}/{self.lease.app}/{asked['path']}/predict"
        headers = {GRANT.decode(): asked["grant"], "Content-Type": "application/json"}
        limit = aiohttp.ClientTimeout(total=asked["timeout"] + MARGIN_S)
        try:
            data = io.BytesIO(await asyncio.to_thread(body.read_bytes))
            async with self.host.peers.session.post(url, data=data, headers=headers, timeout=limit) as answer:
                status, content = answer.status, await _read(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the gateway cannot be reached at {url}") from error
        if status >= 400:
            raise from_problem(status, _document(content))
        return _document(content)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > ANSWER_BYTES:
            raise Failed("output", f"the answer has more than {ANSWER_BYTES} bytes")
    return bytes(content)


def _document(content: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"detail": content[:500].decode(errors="replace")}
