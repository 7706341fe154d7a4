"""Presigned links that databox serves: `/links/{token}`. The token is the only credential, as with S3."""

from __future__ import annotations

import time

from fastapi import Request, Response

from libs.common.errors import NotFound
from libs.common.http.api_document import describe_body
from libs.common.http.conditions import Conditions
from libs.common.http.documented_router import DocumentedRouter
from services.databox.dependencies import DependenciesDep
from services.databox.files.preconditions import build_replace_check
from services.databox.links import verify_link
from services.databox.routes.bodies import (
    join_headers,
    read_chunks,
    send_file,
    store_body,
)
from services.databox.routes.file_documents import FILE_RESPONSES, HEAD_RESPONSES

router = DocumentedRouter(prefix="/links", tags=["files"])
DESCRIPTION = "A link of `presigned_get_url` or `presigned_put_url`; the token is the only credential."


@router.head("/{token}", operation_id="check_link", summary="Check a download link", responses=HEAD_RESPONSES)
@router.get("/{token}", description=DESCRIPTION, responses=FILE_RESPONSES)
async def download_by_link(token: str, request: Request, deps: DependenciesDep) -> Response:
    link = verify_link(deps.signer, token, request.method, time.time())
    stat = await deps.store.stat(link.key)
    if stat is None:
        raise NotFound("there is no such file")
    return await send_file(deps.store, stat, request)


@router.put(
    "/{token}",
    description=DESCRIPTION,
    responses={200: {"description": "Stored"}},
    openapi_extra={"requestBody": describe_body("application/octet-stream", "The file.")},
)
async def upload_by_link(token: str, request: Request, deps: DependenciesDep) -> Response:
    link = verify_link(deps.signer, token, request.method, time.time())
    check_replace = build_replace_check(Conditions.from_headers(join_headers(request)), overwrite=True)
    stat = await store_body(
        deps.uploads, link.key, request, read_chunks(request), check_replace=check_replace, limit=link.size
    )
    return Response(status_code=200, headers={"ETag": f'"{stat.etag}"'})
