"""`POST /hooks/{ns}`: a forge says that something was pushed. A hint: Git is asked what is true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from libs.common.db import clock
from libs.common.errors import NotFound, Unauthorized
from services.registry.apps import Repository
from services.registry.db import Connection, apps, deliveries, deployments
from services.registry.dependencies import Here, Parts
from services.registry.deployments.push_decision import Answer, Scene, answer, settled
from services.registry.deployments.state import Cause, Deployment
from services.registry.git.error_messages import NoBranch
from services.registry.git.webhooks import MAX_BODY_BYTES, Forge, Push, bearer, delivery_id, forge_of, push_of, signed
from services.registry.request_body import read_body
from services.registry.secrets.tokens import same
from services.registry.secrets.verification import verified

router = APIRouter()
AUTHORIZATION = "x-mlmesh-authorization"
"""The caller's own Authorization, as the gateway passes it on."""
ASK_TIMEOUT_S = 0.7
"""Forges give a delivery up within seconds; a Git server that is slower than this is asked by the deployment."""


@router.post("/hooks/{ns}")
async def hook(ns: str, request: Request, parts: Here) -> Response:
    repository = await _repository(parts, ns)
    body = await read_body(request, MAX_BODY_BYTES)
    forge = forge_of(request.headers)
    await _authenticate(parts, repository, forge, request.headers, body)
    delivery = delivery_id(forge, request.headers) if forge else None
    if (repeated := await _known(parts, ns, delivery)) is not None:
        return repeated
    push = push_of(forge, request.headers, body)
    if push.kind == "ping":
        await _remember(parts, ns, delivery)
        return JSONResponse({"status": "pong"})
    gone = push.kind == "deletion" and push.branch == repository.branch
    if not gone and (push.kind != "push" or push.branch not in (None, repository.branch)):
        await _remember(parts, ns, delivery)
        return _ignored(repository.poll_error)
    try:
        if gone:
            await parts.head(ns, ASK_TIMEOUT_S)
            return _ignored(None)
        return await _pushed(parts, ns, push, delivery)
    except NoBranch as error:
        return await _branchless(parts, ns, delivery, error.detail)


def _ignored(why: str | None) -> Response:
    """Nothing is deployed. What is wrong with the repository is told where its owner looks for deliveries."""
    return JSONResponse({"status": "ignored", "detail": why}) if why else Response(status_code=204)


async def _branchless(parts: Parts, ns: str, delivery: str | None, why: str) -> Response:
    async with parts.database.write() as c:
        await apps.saw(c, ns, poll_error=why)
    await _remember(parts, ns, delivery)
    return _ignored(why)


async def _repository(parts: Parts, ns: str) -> Repository:
    async with parts.database.read() as c:
        found = await apps.repository(c, ns)
    if found is None:
        raise NotFound("there is no app with a Repository of this name")
    return found


async def _authenticate(
    parts: Parts, repository: Repository, forge: Forge | None, headers: Mapping[str, str], body: bytes
) -> None:
    secret = await parts.origins.webhook_secret(repository)
    if forge is not None:
        if not signed(forge, headers, body, secret):
            raise Unauthorized("the signature does not fit the body and the webhook's secret")
        return
    token = bearer(headers.get(AUTHORIZATION, ""))
    if token is None:
        raise Unauthorized("a delivery needs a signature of GitHub, Gitea, Forgejo or Gogs, or a bearer token")
    if same(token, secret):
        return
    who, _ = await verified(parts.settings, parts.database, token)
    if not who.may("write", repository.app):
        raise Unauthorized("this token does not allow to deploy this app")


async def _known(parts: Parts, ns: str, delivery: str | None) -> Response | None:
    """The answer to a delivery that was answered before."""
    if delivery is None:
        return None
    async with parts.database.read() as c:
        known, deployment = await deliveries.known(c, ns, delivery)
        found = await deployments.get(c, deployment, ns) if deployment else None
    return _answered(200, found) if known else None


async def _remember(parts: Parts, ns: str, delivery: str | None) -> None:
    if delivery is not None:
        async with parts.database.write() as c:
            await deliveries.remember(c, ns, delivery, None, await clock(c))


async def _pushed(parts: Parts, ns: str, push: Push, delivery: str | None) -> Response:
    async with parts.database.read() as c:
        seen = await _scene(c, ns, push)
    head = await parts.head(ns, ASK_TIMEOUT_S) if answer(push.commit, seen) is Answer.ASK_GIT else None
    async with parts.database.write() as c:
        await apps.get(c, ns, lock=True)
        status, deployment = await _decided(c, ns, push, head)
        if delivery is not None:
            now = await clock(c)
            await deliveries.prune(c, now)
            await deliveries.remember(c, ns, delivery, deployment.id, now)
    if status == 202:
        parts.deployer.wake()
    return _answered(status, deployment)


async def _decided(c: Connection, ns: str, push: Push, head: str | None) -> tuple[int, Deployment]:
    """Status and deployment of the answer, by what is true under the app's lock."""
    scene = await _scene(c, ns, push)
    found = answer(push.commit, scene)
    if found is Answer.JOIN and scene.newest is not None:
        return 202, scene.newest
    if found is Answer.NOTHING_NEW and scene.live is not None:
        return 200, scene.live
    if found is Answer.ASK_GIT and head is not None and (existing := settled(head, scene)) is not None:
        await apps.saw_head(c, ns, head)
        return 200 if existing.status == "live" else 202, existing
    return 202, await deployments.add(c, ns, Cause.PUSH, await clock(c))


async def _scene(c: Connection, ns: str, push: Push) -> Scene:
    repository = await apps.repository(c, ns)
    return await deployments.scene(c, ns, repository.abandoned if repository else None, push.commit)


def _answered(status: int, deployment: Deployment | None) -> Response:
    if deployment is None:
        return JSONResponse({"status": "known"}, status)
    body: dict[str, Any] = deployment.shown()
    return JSONResponse(body, status, {"Location": f"/api/v1/apps/{deployment.app}/deployments/{deployment.id}"})
