"""Retries transient errors until a deadline: a call outlasts a restart of the service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from libs.common.errors import MeshError

RETRY_DELAY_S = 0.5
RETRY_TIMEOUT_S = 300.0
"""How long a service may be unavailable before the task fails."""

T = TypeVar("T")


async def retry(call: Callable[[], Awaitable[T]], timeout: float | None = RETRY_TIMEOUT_S) -> T:
    """Return the result of `call`; retry transient errors for `timeout` seconds (None: forever)."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return await call()
        except MeshError as error:
            passing = error.retryable or type(error) is MeshError  # a bare MeshError: an internal error of the service
            if not passing or (end is not None and time.monotonic() > end):
                raise
        await asyncio.sleep(RETRY_DELAY_S)
