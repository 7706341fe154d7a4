"""Callers who come at their own pace, whatever becomes of their calls: what each of them was told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.e2e.application import ALICE, Application

ANSWER_TIMEOUT_S = 30.0
MAX_CATCH_UP_S = 0.5
"""When this process is held up, the calls of this time are sent at once, not more: a queue refuses a larger burst."""


@dataclass(frozen=True)
class Told:
    """`status` 0: there was no answer; `seconds`: how long it took."""

    status: int
    seconds: float
    detail: str = ""
    retry_after: bool = False


@dataclass
class Load:
    """Calls of the small application's component, `rate` a second, from the entry to the exit of the context."""

    app: Application
    rate: float
    told: list[Told] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Returns when every call was answered."""
        self._stop.set()
        self._thread.join()

    @property
    def statuses(self) -> Counter[int]:
        return Counter(one.status for one in self.told)

    @property
    def failed(self) -> list[Told]:
        return [one for one in self.told if one.status != 200]

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
        headers = {"Authorization": "Basic " + b64encode(ALICE.encode()).decode()}
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
            calls: set[asyncio.Task[None]] = set()
            due = time.monotonic()
            while not self._stop.is_set():
                call = asyncio.create_task(self._call(session))
                calls.add(call)
                call.add_done_callback(calls.discard)
                now = time.monotonic()
                due = max(due + 1 / self.rate, now - MAX_CATCH_UP_S)
                await asyncio.sleep(max(0.0, due - now))
            if calls:
                await asyncio.wait(calls)

    async def _call(self, session: aiohttp.ClientSession) -> None:
        inputs = [{"name": "text", "datatype": "str", "data": "hello"}]
        began = time.monotonic()
        url = f"{self.app.api.url}/{self.app.name}/shout/predict"
        try:
            async with session.post(url, json={"inputs": inputs}) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.told.append(Told(0, time.monotonic() - began, repr(error)))
        else:
            took = time.monotonic() - began
            detail = "" if answer.status == 200 else said(content)
            self.told.append(Told(answer.status, took, detail, "Retry-After" in answer.headers))


def said(content: bytes) -> str:
    found: Any = json.loads(content)
    return str(found.get("detail"))
