"""Logs: workers append chunks, the scheduler reads them."""

from __future__ import annotations

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from libs.common.errors import TooLarge
from services.databox.dependencies import Given
from services.databox.files.logs import CHUNK_BYTES
from services.databox.routes.bodies import chunks

router = APIRouter(prefix="/internal/apps/{ns}/logs")
MAX_WAIT_S = 20.0
SIZE = "X-Mlmesh-Log-Size"


@router.post("/{name:path}", status_code=204)
async def append(
    ns: str, name: str, request: Request, parts: Given, offset: int = Query(ge=0), end: bool = False
) -> None:
    data = bytearray()
    async for chunk in chunks(request):
        data += chunk
        if len(data) > CHUNK_BYTES:
            raise TooLarge(f"a chunk of a log has at most {CHUNK_BYTES} bytes")
    await parts.logs.append(ns, name, offset, bytes(data), end=end)


@router.get("/{name:path}")
async def read(
    ns: str, name: str, parts: Given, offset: int = Query(0, ge=0), wait: float = Query(0.0, ge=0.0, le=MAX_WAIT_S)
) -> StreamingResponse:
    size = await parts.logs.size(ns, name)
    found = parts.logs.read(ns, name, offset, wait=wait)
    return StreamingResponse(found, headers={SIZE: str(size)}, media_type="application/octet-stream")
