"""Errors of the S3 server, as errors of a store. Pure."""

from __future__ import annotations

import re

from libs.common.errors import Conflict, MeshError, NotFound, Unavailable

RETRY_AFTER_S = 2.0
ERROR_CODE = re.compile(rb"<Code>([^<]+)</Code>")
NOT_FOUND_CODES = ("NoSuchKey", "NoSuchBucket", "NotFound")
NAME_CONFLICT_CODES = (
    "ObjectParentIsFile", "XMinioParentIsObject", "ExistingObjectIsDirectory", "XMinioObjectExistsAsDirectory",
)  # fmt: skip


class FileReplaced(Unavailable):
    """The file was just replaced."""


def error_from_response(status: int, body: bytes) -> MeshError:
    code = ERROR_CODE.search(body)
    if code is None and status in (404, 412):  # a HEAD has no body
        return error_from_code("NoSuchKey" if status == 404 else "PreconditionFailed", "")
    return error_from_code(code[1].decode() if code else f"status {status}", "")


def error_from_code(code: str, message: str) -> MeshError:
    if code in NOT_FOUND_CODES:
        return NotFound("the file was deleted")
    if code in NAME_CONFLICT_CODES:
        return Conflict("a file and a folder cannot have the same name")
    if code in ("PreconditionFailed", "ConditionalRequestConflict"):
        return FileReplaced("the file was just replaced")
    return Unavailable(f"the S3 server rejected the request: {code} {message}".strip(), retry_after=RETRY_AFTER_S)


def unreachable_error() -> Unavailable:
    return Unavailable("the S3 server cannot be reached", retry_after=RETRY_AFTER_S)
