"""Calls that outlast a restart of the service they go to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from libs.common.errors import MeshError

RETRY_DELAY_S = 0.5
RETRY_TIMEOUT_S = 300.0
"""How long a service may be away before the work that needs it fails."""

T = TypeVar("T")


async def retry(call: Callable[[], Awaitable[T]], timeout: float | None = RETRY_TIMEOUT_S) -> T:
    """What `call` answers; errors that may pass are tried again until `limit` seconds are over (None: for ever)."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return await call()
        except MeshError as error:
            passing = error.retryable or type(error) is MeshError  # a bare one: the service broke
            if not passing or (end is not None and time.monotonic() > end):
                raise
        await asyncio.sleep(RETRY_DELAY_S)
