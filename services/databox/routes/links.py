"""Links that lead through databox: `/links/{token}`, no other credential. Bytes in and out as an S3 server would."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response

from libs.common.errors import NotFound
from libs.common.http.conditions import Conditions
from services.databox.dependencies import Given
from services.databox.files.preconditions import judge
from services.databox.links import read
from services.databox.routes.bodies import chunks, download, fields, put

router = APIRouter(prefix="/links")


@router.api_route("/{token}", methods=["GET", "HEAD"])
async def get(token: str, request: Request, parts: Given) -> Response:
    link = read(parts.signer, token, request.method, time.time())
    stat = await parts.store.stat(link.key)
    if stat is None:
        raise NotFound("there is no such file")
    return await download(parts.store, stat, request)


@router.put("/{token}")
async def upload(token: str, request: Request, parts: Given) -> Response:
    link = read(parts.signer, token, request.method, time.time())
    replacing = judge(Conditions.of(fields(request)), overwrite=True)
    stat = await put(parts.uploads, link.key, request, chunks(request), judge=replacing, limit=link.size)
    return Response(status_code=200, headers={"ETag": f'"{stat.etag}"'})
