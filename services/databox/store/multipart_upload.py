"""A file sent to an S3 server in parts, seen by others when the last one is there.

Not every server discards a single PUT that was cut off, so only what is in memory as a whole is sent by one.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Protocol, Self

from libs.common import log
from libs.common.errors import MeshError, PreconditionFailed, Unavailable

PART_BYTES = 5 * 1024**2
"""The least that S3 allows, because one is in memory for each upload; at most 10,000 parts make 50 GB."""
UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")


class Answer(Protocol):
    @property
    def etag(self) -> str: ...
    @property
    def body(self) -> bytes: ...


class Send(Protocol):
    async def __call__(self, method: str, key: str, *, data: bytes = b"", query: dict[str, str]) -> Answer: ...


class Complete(Protocol):
    async def __call__(self, *, data: bytes, query: dict[str, str]) -> Answer: ...


class Parts:
    """Leaving the context makes the file out of the parts; leaving it with an error makes nothing."""

    def __init__(self, send: Send, complete: Complete, key: str) -> None:
        self._send = send
        self._complete_with = complete
        self._key = key
        self._upload = ""
        self._etags: list[str] = []

    async def __aenter__(self) -> Self:
        answer = await self._send("POST", self._key, query={"uploads": ""})
        found = UPLOAD_ID.search(answer.body)
        if found is None:
            raise Unavailable("the S3 server did not begin an upload in parts")
        self._upload = found[1].decode()
        return self

    async def add(self, part: bytes) -> None:
        query = {"partNumber": str(len(self._etags) + 1), "uploadId": self._upload}
        self._etags.append((await self._send("PUT", self._key, data=part, query=query)).etag)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            await self._abort()
            return
        try:
            await self._complete()
        except PreconditionFailed:
            await self._abort()
            raise

    async def _complete(self) -> None:
        parts = (
            f'<Part><PartNumber>{number}</PartNumber><ETag>"{etag}"</ETag></Part>'
            for number, etag in enumerate(self._etags, 1)
        )
        body = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
        answer = await self._complete_with(data=body, query={"uploadId": self._upload})
        if b"<Error>" in answer.body:
            raise Unavailable("the S3 server did not put the parts together")

    async def _abort(self) -> None:
        try:
            await self._send("DELETE", self._key, query={"uploadId": self._upload})
        except MeshError as error:
            log.get("store").warning("parts of an upload stay behind", key=self._key, why=error.detail)
