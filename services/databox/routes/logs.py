"""Logs: workers append chunks, the scheduler reads them."""

from __future__ import annotations

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from libs.common.errors import TooLarge
from services.databox.dependencies import DependenciesDep
from services.databox.files.logs import CHUNK_BYTES
from services.databox.routes.bodies import read_chunks

router = APIRouter(prefix="/internal/apps/{ns}/logs", include_in_schema=False)
MAX_WAIT_S = 20.0
SIZE_HEADER = "X-Mlmesh-Log-Size"


@router.post("/{name:path}", status_code=204)
async def append_log(
    ns: str, name: str, request: Request, deps: DependenciesDep, offset: int = Query(ge=0), end: bool = False
) -> None:
    data = bytearray()
    async for chunk in read_chunks(request):
        data += chunk
        if len(data) > CHUNK_BYTES:
            raise TooLarge(f"a chunk of a log has at most {CHUNK_BYTES} bytes")
    await deps.logs.append(ns, name, offset, bytes(data), end=end)


@router.get("/{name:path}")
async def read_log(
    ns: str,
    name: str,
    deps: DependenciesDep,
    offset: int = Query(0, ge=0),
    wait: float = Query(0.0, ge=0.0, le=MAX_WAIT_S),
) -> StreamingResponse:
    size = await deps.logs.get_size(ns, name)
    content = deps.logs.read_from(ns, name, offset, wait=wait)
    return StreamingResponse(content, headers={SIZE_HEADER: str(size)}, media_type="application/octet-stream")
