"""`POST /hooks/{ns}`: a forge reports a push. A delivery is only a hint: Git decides what the head is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from typing_extensions import TypedDict

from libs.common import log
from libs.common.db import database_time
from libs.common.errors import NotFound, Unauthorized
from libs.common.http.api_document import describe_body
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import response_shape
from services.registry.apps import Repository
from services.registry.db import Connection, apps, deliveries, deployments
from services.registry.dependencies import Dependencies, DependenciesDep
from services.registry.deployments.push_decision import PushContext, PushDecision, decide_push, find_existing_deployment
from services.registry.deployments.state import Deployment, DeploymentJson, DeploymentTrigger
from services.registry.git.error_messages import BranchNotFound
from services.registry.git.webhooks import (
    MAX_BODY_BYTES,
    Forge,
    Push,
    detect_forge,
    get_delivery_id,
    is_signature_valid,
    parse_bearer_token,
    parse_push,
)
from services.registry.request_body import read_body
from services.registry.secrets.tokens import constant_time_equal
from services.registry.secrets.verification import authenticate_token

router = DocumentedRouter(tags=["webhooks"])
AUTHORIZATION = "x-mlmesh-authorization"
"""The caller's Authorization header, as the gateway forwards it."""
EXAMPLE = {"ref": "refs/heads/main", "after": "6f1c2b7d9a8e4f3021c5b6a7d8e9f0a1b2c3d4e5"}
HEAD_TIMEOUT_S = 0.7
"""Forges stop waiting within seconds; the deployment asks a slower remote."""


@response_shape
class HookJson(TypedDict):
    """Nothing is deployed: a ping, a delivery that is known, or one that cannot be followed."""

    status: Literal["pong", "known", "ignored"]
    detail: NotRequired[str]


@router.post(
    "/hooks/{ns}",
    summary="Receive a push webhook",
    response_model=DeploymentJson | HookJson,
    responses={
        200: {"description": "The live deployment has the commit, or nothing is to be deployed"},
        202: {"model": DeploymentJson, "description": "The deployment, at `Location`"},
        204: {"description": "The push is for another branch"},
    },
    openapi_extra={
        "requestBody": describe_body("application/json", "As the forge sends it.", EXAMPLE, {"type": "object"})
    },
)
async def receive_push(ns: str, request: Request, deps: DependenciesDep) -> Response:
    """GitHub, Gitea, Forgejo, Gogs, GitLab, Bitbucket, Azure DevOps, or anything with a bearer token."""
    repository = await _get_repository(deps, ns)
    body = await read_body(request, MAX_BODY_BYTES)
    forge = detect_forge(request.headers)
    await _authenticate(deps, repository, forge, request.headers, body)
    delivery = get_delivery_id(forge, request.headers) if forge else None
    if (repeated_response := await _find_delivery(deps, ns, delivery)) is not None:
        return repeated_response
    push = parse_push(forge, request.headers, body)
    if push.kind == "ping":
        await _record_delivery(deps, ns, delivery)
        return JSONResponse({"status": "pong"})
    branch_deleted = push.kind == "deletion" and push.branch == repository.branch
    if not branch_deleted and (push.kind != "push" or push.branch not in (None, repository.branch)):
        await _record_delivery(deps, ns, delivery)
        return _ignored_response(repository.poll_error)
    try:
        if branch_deleted:
            await deps.read_remote_head(ns, HEAD_TIMEOUT_S)
            return _ignored_response(None)
        return await _handle_push(deps, ns, push, delivery)
    except BranchNotFound as error:
        return await _record_missing_branch(deps, ns, delivery, error.detail)


def _ignored_response(detail: str | None) -> Response:
    """Nothing is deployed. The repository's error is shown in the forge's list of deliveries."""
    return JSONResponse({"status": "ignored", "detail": detail}) if detail else Response(status_code=204)


async def _record_missing_branch(deps: Dependencies, ns: str, delivery: str | None, detail: str) -> Response:
    async with deps.database.write() as conn:
        await apps.update_repository(conn, ns, poll_error=detail)
    await _record_delivery(deps, ns, delivery)
    return _ignored_response(detail)


async def _get_repository(deps: Dependencies, ns: str) -> Repository:
    async with deps.database.read() as conn:
        repository = await apps.get_repository(conn, ns)
    if repository is None:
        raise NotFound("there is no app of this name with a Repository")
    return repository


async def _authenticate(
    deps: Dependencies, repository: Repository, forge: Forge | None, headers: Mapping[str, str], body: bytes
) -> None:
    secret = await deps.secret_reader.get_webhook_secret(repository)
    if forge is not None:
        if not is_signature_valid(forge, headers, body, secret):
            raise Unauthorized("the signature does not match the body and the webhook's secret")
        return
    token = parse_bearer_token(headers.get(AUTHORIZATION, ""))
    if token is None:
        raise Unauthorized("a delivery needs a signature of GitHub, Gitea, Forgejo or Gogs, or a bearer token")
    if constant_time_equal(token, secret):
        return
    caller, _ = await authenticate_token(deps.settings, deps.database, token)
    if not caller.has_scope("write", repository.app):
        raise Unauthorized("this token cannot deploy this app")


async def _find_delivery(deps: Dependencies, ns: str, delivery: str | None) -> Response | None:
    """The response to a redelivery; None for a new delivery."""
    if delivery is None:
        return None
    async with deps.database.read() as conn:
        is_known, deployment = await deliveries.find_delivery(conn, ns, delivery)
        row = await deployments.get(conn, deployment, ns) if deployment else None
    return _deployment_response(200, row) if is_known else None


async def _record_delivery(deps: Dependencies, ns: str, delivery: str | None) -> None:
    if delivery is not None:
        async with deps.database.write() as conn:
            await deliveries.record_delivery(conn, ns, delivery, None, await database_time(conn))


async def _handle_push(deps: Dependencies, ns: str, push: Push, delivery: str | None) -> Response:
    async with deps.database.read() as conn:
        context = await _load_context(conn, ns, push)
    head = (
        await deps.read_remote_head(ns, HEAD_TIMEOUT_S)
        if decide_push(push.commit, context) is PushDecision.ASK_GIT
        else None
    )
    async with deps.database.write() as conn:
        await apps.get(conn, ns, lock=True)
        status, deployment = await _apply_decision(conn, ns, push, head)
        if delivery is not None:
            now = await database_time(conn)
            await deliveries.prune(conn, now)
            await deliveries.record_delivery(conn, ns, delivery, deployment.id, now)
    _log_push(ns, push, deployment.id, status)
    if status == 202:
        deps.deployment_worker.wake()
    return _deployment_response(status, deployment)


def _log_push(ns: str, push: Push, deployment: str | None, status: int) -> None:
    fields = {"branch": push.branch, "commit": push.commit, "deployment": deployment, "status": status}
    log.get("registry").info("Push received", app=ns, **fields)


async def _apply_decision(conn: Connection, ns: str, push: Push, head: str | None) -> tuple[int, Deployment]:
    """Decide again under the app's row lock; HTTP status and deployment of the response."""
    context = await _load_context(conn, ns, push)
    decision = decide_push(push.commit, context)
    if decision is PushDecision.JOIN and context.newest is not None:
        return 202, context.newest
    if decision is PushDecision.NOTHING_NEW and context.live is not None:
        return 200, context.live
    if (
        decision is PushDecision.ASK_GIT
        and head is not None
        and (existing := find_existing_deployment(head, context)) is not None
    ):
        await apps.record_head(conn, ns, head)
        return 200 if existing.status == "live" else 202, existing
    return 202, await deployments.add(conn, ns, DeploymentTrigger.PUSH, await database_time(conn))


async def _load_context(conn: Connection, ns: str, push: Push) -> PushContext:
    repository = await apps.get_repository(conn, ns)
    return await deployments.load_push_context(conn, ns, repository.abandoned_head if repository else None, push.commit)


def _deployment_response(status: int, deployment: Deployment | None) -> Response:
    if deployment is None:
        return JSONResponse({"status": "known"}, status)
    return JSONResponse(
        deployment.to_json(), status, {"Location": f"/api/v1/apps/{deployment.app}/deployments/{deployment.id}"}
    )
