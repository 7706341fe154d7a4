"""What routes are given: the service's parts and who is calling.

Coroutines, though they wait for nothing: the framework runs plain functions in threads.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Request

from libs.common.http.hot_routes import Asked
from libs.common.identity import Caller, caller
from services.scheduler.dependencies import Parts


def parts_of(request: Request | Asked) -> Parts:
    found: Parts = request.app.state.parts
    return found


async def _parts(request: Request) -> Parts:
    return parts_of(request)


async def _caller(request: Request) -> Caller:
    return caller(request.headers)


TheParts = Annotated[Parts, Depends(_parts)]
TheCaller = Annotated[Caller, Depends(_caller)]


MAX_WAIT_S = 60.0
RETRY_AFTER_S = "1"
"""Until the next look at a run."""


def preferred_wait(prefer: str | None) -> float:
    """The N of `Prefer: wait=N`, at most 60."""
    found = re.search(r"\bwait=([0-9]{1,6})\b", prefer or "")
    return min(float(found[1]), MAX_WAIT_S) if found else 0.0
