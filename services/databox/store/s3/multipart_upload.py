"""S3 multipart upload: the file becomes visible when the upload completes.

Not every server discards a single PUT that was cut off, so a single PUT is used only for a body that is in memory.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Protocol, Self

from libs.common import log
from libs.common.errors import MeshError, PreconditionFailed, Unavailable

PART_BYTES = 5 * 1024**2
"""The minimum of S3, since each upload holds one part in memory; 10,000 parts allow 50 GB."""
UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")


class PartResponse(Protocol):
    @property
    def etag(self) -> str: ...
    @property
    def body(self) -> bytes: ...


class SendRequest(Protocol):
    async def __call__(self, method: str, key: str, *, data: bytes = b"", query: dict[str, str]) -> PartResponse: ...


class SendCompletion(Protocol):
    async def __call__(self, *, data: bytes, query: dict[str, str]) -> PartResponse: ...


class MultipartUpload:
    """Completes the upload when the context ends, and aborts it on an error."""

    def __init__(self, send: SendRequest, send_completion: SendCompletion, key: str) -> None:
        self._send = send
        self._send_completion = send_completion
        self._key = key
        self._upload_id = ""
        self._etags: list[str] = []

    async def __aenter__(self) -> Self:
        response = await self._send("POST", self._key, query={"uploads": ""})
        upload_id = UPLOAD_ID.search(response.body)
        if upload_id is None:
            raise Unavailable("S3 failed to start the multipart upload")
        self._upload_id = upload_id[1].decode()
        return self

    async def add_part(self, part: bytes) -> None:
        query = {"partNumber": str(len(self._etags) + 1), "uploadId": self._upload_id}
        self._etags.append((await self._send("PUT", self._key, data=part, query=query)).etag)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            await self._abort_upload()
            return
        try:
            await self._complete_upload()
        except PreconditionFailed:
            await self._abort_upload()
            raise

    async def _complete_upload(self) -> None:
        parts = (
            f'<Part><PartNumber>{number}</PartNumber><ETag>"{etag}"</ETag></Part>'
            for number, etag in enumerate(self._etags, 1)
        )
        body = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
        response = await self._send_completion(data=body, query={"uploadId": self._upload_id})
        if b"<Error>" in response.body:
            raise Unavailable("S3 failed to complete the multipart upload")

    async def _abort_upload(self) -> None:
        try:
            await self._send("DELETE", self._key, query={"uploadId": self._upload_id})
        except MeshError as error:
            log.get("store").warning("Failed to abort multipart upload", key=self._key, why=error.detail)
