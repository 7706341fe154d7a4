"""`/api/v1/validate` and `/api/v1/schema`: checks manifests without an app, and returns their JSON schemas."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from libs.common.errors import Malformed, NotFound
from libs.common.http.api_document import Document, describe_body
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import response_shape
from libs.common.manifests import KINDS, json_schema
from libs.common.manifests.fields import Name
from services.registry.checks.catalog import check_manifests
from services.registry.checks.problems import ManifestProblemJson, problem_to_json
from services.registry.request_body import read_body

router = DocumentedRouter(prefix="/api/v1", tags=["manifests"])
MAX_BYTES = 16_000_000
"""10 MB of manifests, escaped as JSON."""
EXAMPLE = "apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: results}\nspec: {s3DefaultStorage: {capacity: 10G}}\n"


class ManifestFiles(BaseModel):
    """Texts by path in the repository; `namespace` and `secrets` are those of an app, if there is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: Annotated[dict[str, str], Field(examples=[{"manifests/app.yaml": EXAMPLE}])]
    namespace: Name | None = None
    secrets: tuple[str, ...] = ()


@response_shape
class ValidationJson(TypedDict):
    """What is wrong with the manifests: nothing, when there are no errors."""

    errors: list[ManifestProblemJson]
    warnings: list[ManifestProblemJson]


@router.post(
    "/validate",
    summary="Validate manifests",
    openapi_extra={
        "requestBody": describe_body("application/json", "The files.", schema=ManifestFiles.model_json_schema())
    },
)
async def validate_files(request: Request) -> ValidationJson:
    body = await read_body(request, MAX_BYTES)
    try:
        manifest_files = await asyncio.to_thread(ManifestFiles.model_validate_json, body)
    except ValidationError as error:
        raise Malformed('send {"files": {"manifests/x.yaml": "text"}}') from error
    files = {path: text.encode() for path, text in manifest_files.files.items()}
    _catalog, problems = await asyncio.to_thread(
        check_manifests, files, manifest_files.namespace, manifest_files.secrets
    )
    return {
        "errors": [problem_to_json(problem) for problem in problems if problem.severity == "error"],
        "warnings": [problem_to_json(problem) for problem in problems if problem.severity == "warning"],
    }


@router.get("/schema/{kind}.json", summary="Get the JSON Schema of a manifest")
async def get_schema(kind: str) -> Document:
    """The kind is case-insensitive: `mlcomponent.json`."""
    kind_name = next((name for name in KINDS if name.lower() == kind.lower()), None)
    if kind_name is None:
        raise NotFound(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
    return json_schema(kind_name)
