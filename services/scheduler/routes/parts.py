"""What routes are given: the service's parts and who is calling."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from libs.common.identity import Caller, caller
from services.scheduler.parts import Parts


def _parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


def _caller(request: Request) -> Caller:
    return caller(request.headers)


TheParts = Annotated[Parts, Depends(_parts)]
TheCaller = Annotated[Caller, Depends(_caller)]
