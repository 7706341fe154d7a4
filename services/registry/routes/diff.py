"""`/api/v1/apps/{ns}/diff`: what the deployment of a branch, a tag, a commit or a folder would do."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.common.errors import Invalid, Malformed
from libs.common.http.api_document import describe_body
from libs.common.http.documented_router import DocumentedRouter
from libs.common.manifests.repository import BRANCH
from libs.common.storable_text import StorableText
from services.registry.checks.problems import problem_to_json
from services.registry.db import apps
from services.registry.dependencies import AppNotFound, CallerDep, Dependencies, DependenciesDep
from services.registry.deployments.diff import DiffJson, compare_with_live
from services.registry.git.cache import Commit
from services.registry.git.error_messages import RefNotFound
from services.registry.git.remotes import GitRemote
from services.registry.git.tree import InvalidRevision
from services.registry.request_body import read_body
from services.registry.routes.validate import EXAMPLE, MAX_BYTES

router = DocumentedRouter(prefix="/api/v1/apps/{ns}/diff", tags=["deployments"])
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
Ref = Annotated[str | None, Query(description="A branch, a tag or a whole commit id; default: what is deployed")]


class CheckoutFiles(BaseModel):
    """Texts by path; `commit` when they are exactly those of a commit, `secrets` that `mlmesh apply` declares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: Annotated[dict[str, str], Field(examples=[{"manifests/app.yaml": EXAMPLE}])]
    commit: StorableText | None = None
    secrets: tuple[str, ...] = ()
    path: str = "manifests"


@router.get("", summary="Preview the deployment of a branch, a tag or a commit")
async def diff_ref(ns: str, deps: DependenciesDep, caller: CallerDep, ref: Ref = None) -> DiffJson:
    """Fetches it and changes nothing; 422 with the errors of its manifests."""
    caller.require_scope("read", ns)
    await _require_app(deps, ns)
    _repository, remote = await deps.remotes.resolve_app(ns)
    commit = await _fetch_ref(deps, ns, remote, ref)
    try:
        revision = await deps.revisions.read_commit(ns, commit.id, remote.path)
    except InvalidRevision as error:
        raise _to_invalid(error) from error
    return await compare_with_live(deps.database, ns, revision, commit.id)


@router.post(
    "",
    summary="Preview the deployment of a folder",
    openapi_extra={
        "requestBody": describe_body("application/json", "The files.", schema=CheckoutFiles.model_json_schema())
    },
)
async def diff_files(ns: str, request: Request, deps: DependenciesDep, caller: CallerDep) -> DiffJson:
    """The same of files that need not be in any commit."""
    caller.require_scope("read", ns)
    body = await read_body(request, MAX_BYTES)
    await _require_app(deps, ns)
    try:
        checkout = await asyncio.to_thread(CheckoutFiles.model_validate_json, body)
    except ValidationError as error:
        raise Malformed('send {"files": {"manifests/x.yaml": "text"}}') from error
    files = {path: text.encode() for path, text in checkout.files.items()}
    try:
        revision = await deps.revisions.check_files(ns, files, checkout.path, checkout.secrets)
    except InvalidRevision as error:
        raise _to_invalid(error) from error
    return await compare_with_live(deps.database, ns, revision, checkout.commit)


async def _require_app(deps: Dependencies, ns: str) -> None:
    async with deps.database.read() as conn:
        if await apps.get(conn, ns) is None:
            raise AppNotFound(ns)


async def _fetch_ref(deps: Dependencies, ns: str, remote: GitRemote, ref: str | None) -> Commit:
    """A branch comes before a tag of the same name. Raises Malformed, RefNotFound."""
    if ref is None or COMMIT.fullmatch(ref):
        return await deps.git_cache.fetch(ns, remote, ref)
    if re.fullmatch(BRANCH, ref) is None:
        raise Malformed(f"{ref!r} is neither a branch, a tag nor a whole commit id")
    try:
        return await deps.git_cache.fetch(ns, replace(remote, branch=ref, tags=None, head_seen=False))
    except RefNotFound as error:
        try:
            return await deps.git_cache.fetch(ns, replace(remote, tags=ref, head_seen=False))
        except RefNotFound:
            raise RefNotFound(f"{error.detail}; and there is no tag of this name") from error


def _to_invalid(error: InvalidRevision) -> Invalid:
    return Invalid(str(error.problems[0]), errors=[problem_to_json(problem) for problem in error.problems])
