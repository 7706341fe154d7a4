"""What the routes of files and links take and send, for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.api_document import Responses, describe_body
from libs.common.http.response_shapes import Time, response_shape

BINARY_TYPE = "application/octet-stream"
FILE_CONTENT = {BINARY_TYPE: {"schema": {"type": "string", "contentMediaType": BINARY_TYPE}}}
FILE_RESPONSES: Responses = {
    200: {"description": "The file", "content": FILE_CONTENT},
    206: {"description": "The range that was asked for", "content": FILE_CONTENT},
    304: {"description": "The reader has this version"},
}
HEAD_RESPONSES: Responses = {
    status: {"description": response["description"]} for status, response in FILE_RESPONSES.items()
}
"""What `send_file` responds with to GET and to HEAD, for the OpenAPI document."""
UPLOAD_RESPONSES: Responses = {
    200: {"description": "A link to upload to, as the request had no body"},
    201: {"description": "Stored"},
}
UPLOAD_BODY = {
    "requestBody": {**describe_body(BINARY_TYPE, "The file; without a body the response is a link."), "required": False}
}
GET_RESPONSES: Responses = {
    **FILE_RESPONSES,
    200: {**FILE_RESPONSES[200], "description": "Links, a listing, or the file itself"},
}


@response_shape
class FileLinksJson(TypedDict):
    """Links that need no credentials, for an hour or as long as `expires` says."""

    presigned_get_url: NotRequired[Annotated[str, Field(examples=["https://mesh.example/links/WyJHRVQi"])]]
    presigned_put_url: NotRequired[Annotated[str, Field(examples=["https://mesh.example/links/WyJQVVQi"])]]
    """For who may write."""


@response_shape
class FileJson(TypedDict):
    """A file in a box."""

    name: Annotated[str, Field(examples=["2026/report.csv"])]
    """Relative to the folder that is listed."""
    size: int
    """Bytes."""
    etag: str
    modified: Time
