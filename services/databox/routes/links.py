"""Presigned links that databox serves: `/links/{token}`. The token is the only credential, as with S3."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response

from libs.common.errors import NotFound
from libs.common.http.conditions import Conditions
from services.databox.dependencies import DependenciesDep
from services.databox.files.preconditions import build_replace_check
from services.databox.links import verify_link
from services.databox.routes.bodies import join_headers, read_chunks, send_file, store_body

router = APIRouter(prefix="/links")


@router.api_route("/{token}", methods=["GET", "HEAD"])
async def download_by_link(token: str, request: Request, deps: DependenciesDep) -> Response:
    link = verify_link(deps.signer, token, request.method, time.time())
    stat = await deps.store.stat(link.key)
    if stat is None:
        raise NotFound("there is no such file")
    return await send_file(deps.store, stat, request)


@router.put("/{token}")
async def upload_by_link(token: str, request: Request, deps: DependenciesDep) -> Response:
    link = verify_link(deps.signer, token, request.method, time.time())
    check_replace = build_replace_check(Conditions.from_headers(join_headers(request)), overwrite=True)
    stat = await store_body(
        deps.uploads, link.key, request, read_chunks(request), check_replace=check_replace, limit=link.size
    )
    return Response(status_code=200, headers={"ETag": f'"{stat.etag}"'})
