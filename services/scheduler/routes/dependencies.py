"""FastAPI dependencies: the container of the service and the caller.

They are coroutines although they await nothing: FastAPI runs plain functions in a thread pool.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from libs.common.http.hot_routes import RouteRequest
from libs.common.identity import Caller, caller_from_headers
from services.scheduler.dependencies import Dependencies


def get_dependencies(request: Request | RouteRequest) -> Dependencies:
    deps: Dependencies = request.app.state.dependencies
    return deps


async def _dependencies(request: Request) -> Dependencies:
    return get_dependencies(request)


async def _caller(request: Request) -> Caller:
    return caller_from_headers(request.headers)


DependenciesDep = Annotated[Dependencies, Depends(_dependencies)]
CallerDep = Annotated[Caller, Depends(_caller)]


MAX_WAIT_S = 60.0
PreferWait = Annotated[
    str | None, Header(alias="Prefer", description=f"`wait=N`: seconds, at most {MAX_WAIT_S:g}.", examples=["wait=10"])
]
RETRY_AFTER_S = "1"
"""Seconds until a client should poll a run again."""


def parse_prefer_wait(prefer: str | None) -> float:
    """The N of `Prefer: wait=N`, at most MAX_WAIT_S."""
    match = re.search(r"\bwait=([0-9]{1,6})\b", prefer or "")
    return min(float(match[1]), MAX_WAIT_S) if match else 0.0
