"""`POST /hooks/{ns}`: a forge reports a push. This is a hot route, which bypasses FastAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from typing_extensions import TypedDict

from libs.common.errors import MeshError, NotFound
from libs.common.frozen import copy_with
from libs.common.http.api_document import describe_body
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.hot_routes import RouteRequest, post_route
from libs.common.http.response_shapes import response_shape
from services.registry.apps import Repository
from services.registry.db import apps, deliveries, deployments
from services.registry.db.ids import new_id
from services.registry.deliveries import Delivery
from services.registry.dependencies import Dependencies, get_dependencies
from services.registry.deployments.state import DeploymentJson
from services.registry.forges.forge_table import UNKNOWN, Forge, is_unsigned_ping, recognize_forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.parsed_delivery import (
    ParsedDelivery,
    describe_event,
    describe_ref,
    get_delivery_id,
    make_storable,
    parse_delivery,
)
from services.registry.forges.pushes import Change, Changes, find_change
from services.registry.forges.refusals import UnprovenDelivery
from services.registry.forges.status_apis import STATUS_APIS
from services.registry.git.error_messages import RefNotFound
from services.registry.routes.pushed_deployment import deploy_push, deployment_response, read_head

PATH = "/hooks/{ns}"
AUTHORIZATION = "x-mlmesh-authorization"
"""The caller's Authorization header, as the gateway forwards it."""
EXAMPLE = {"ref": "refs/heads/main", "after": "6f1c2b7d9a8e4f3021c5b6a7d8e9f0a1b2c3d4e5"}
CHECKS = {400: "body", 408: "body", 413: "body size", 429: "rate"}
"""What a refusal by its status has checked."""


@response_shape
class HookJson(TypedDict):
    """Nothing is deployed: a ping, a delivery that is known, or one that cannot be followed."""

    status: Literal["pong", "known", "ignored"]
    detail: NotRequired[str]


async def receive_push(request: RouteRequest) -> Response:
    """Answer a delivery of the app's forge, and record it."""
    ns, deps = request.path_params["ns"], get_dependencies(request)
    headers = _read_headers(request.headers)
    if is_unsigned_ping(IncomingDelivery(headers)):
        return _pong_response()
    repository = await _get_repository(deps, ns)
    forge = recognize_forge(IncomingDelivery(headers))
    try:
        parsed = await _read_delivery(deps, repository, forge, headers, request)
        with deps.open_deliveries.hold():
            return await _handle_delivery(deps, repository, forge, parsed)
    except MeshError as error:
        await _record_refusal(deps, repository, forge, IncomingDelivery(headers), error)
        raise


ROUTES = (post_route(PATH, receive_push),)
operations = DocumentedRouter(tags=["webhooks"])
"""Describes the hot route in the OpenAPI document."""


@operations.post(
    PATH,
    operation_id="receive_push",
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
async def describe_receive_push(ns: str) -> Response:
    """GitHub, Gitea, Forgejo, Gogs, GitBucket, GitLab, Bitbucket, Azure DevOps, or anything with a bearer token."""
    raise NotImplementedError


def _read_headers(received: Mapping[str, str]) -> Mapping[str, str]:
    """As the forge sent them: `Authorization` is the gateway's own here."""
    headers = {name.lower(): value for name, value in received.items()}
    return {**headers, "authorization": headers.get(AUTHORIZATION, "")}


async def _get_repository(deps: Dependencies, ns: str) -> Repository:
    async with deps.database.read() as conn:
        repository = await apps.get_repository(conn, ns)
    if repository is None:
        raise NotFound("there is no app of this name with a Repository")
    return repository


async def _read_delivery(
    deps: Dependencies, repository: Repository, forge: Forge, headers: Mapping[str, str], request: Request
) -> ParsedDelivery:
    """Proven before it is parsed. Nothing holds the body any more when its place is free."""
    async with deps.body_reader.read(request) as body:
        delivery = IncomingDelivery(headers, body)
        await deps.webhook_verifier.verify(repository, forge, delivery)
        return parse_delivery(forge, delivery)


async def _handle_delivery(
    deps: Dependencies, repository: Repository, forge: Forge, parsed: ParsedDelivery
) -> Response:
    """Answer a proven delivery and record it. Raises TooManyRequests."""
    ns = repository.app
    if (repeated_response := await _find_repeated(deps, ns, parsed.delivery_id)) is not None:
        return repeated_response
    await _remember_forge(deps, repository, forge)
    change = _find_followed_change(parsed.changes, repository)
    delivery = _make_record(ns, forge, parsed, describe_ref(change or next(iter(parsed.changes), None)))
    if parsed.is_ping:
        return await _record_response(deps, delivery, _pong_response())
    if change is None:
        return await _record_response(deps, delivery, _ignored_response(repository.poll_error))
    try:
        if change.deleted:
            await read_head(deps, ns)
            return await _record_response(deps, delivery, _ignored_response(None))
        return await deploy_push(deps, delivery, change, describe_cause(forge))
    except RefNotFound as error:
        async with deps.database.write() as conn:
            await apps.update_repository(conn, ns, poll_error=error.detail)
        return await _record_response(deps, delivery, _ignored_response(error.detail))


def _find_followed_change(changes: Changes, repository: Repository) -> Change | None:
    """Of a tag only that it changed counts: which one is the newest, and which commit it names, is asked of Git."""
    change = find_change(changes, repository.follows)
    return change if change is None or repository.tags is None else Change(change.ref)


async def _remember_forge(deps: Dependencies, repository: Repository, forge: Forge) -> None:
    """The first verified delivery says which forge is to be told of commits."""
    if repository.delivery_forge is None and forge.name in STATUS_APIS:
        async with deps.database.write() as conn:
            await apps.update_repository(conn, repository.app, delivery_forge=forge.name)


def describe_cause(forge: Forge) -> str:
    return f"webhook of {'an unknown sender' if forge is UNKNOWN else forge.title}"


async def _find_repeated(deps: Dependencies, ns: str, delivery_id: str | None) -> Response | None:
    """The response to a delivery that the forge repeats; None for a new one."""
    if delivery_id is None:
        return None
    async with deps.database.read() as conn:
        delivery = await deliveries.find_accepted(conn, ns, delivery_id)
        row = await deployments.get(conn, delivery.deployment, ns) if delivery and delivery.deployment else None
    return None if delivery is None else deployment_response(200, row)


def _make_record(ns: str, forge: Forge, parsed: ParsedDelivery, ref: str | None) -> Delivery:
    identity = parsed.delivery_id or new_id()
    return Delivery(identity, ns, 0, forge.name, parsed.event, ref, parsed.delivery_id)


async def _record_response(deps: Dependencies, delivery: Delivery, response: Response) -> Response:
    await deps.delivery_log.record(copy_with(delivery, status=response.status_code))
    return response


def _pong_response() -> Response:
    return JSONResponse({"status": "pong"})


def _ignored_response(detail: str | None) -> Response:
    """Nothing is deployed. The repository's error is shown in the forge's list of deliveries."""
    return JSONResponse({"status": "ignored", "detail": detail}) if detail else Response(status_code=204)


async def _record_refusal(
    deps: Dependencies, repository: Repository, forge: Forge, delivery: IncomingDelivery, error: MeshError
) -> None:
    """Owners are told more than the sender: that the secret here is missing or of another kind."""
    problem = None
    if isinstance(error, UnprovenDelivery):
        problem = await deps.webhook_verifier.find_secret_problem(repository, forge, delivery)
    check = error.extensions.get("check") or CHECKS.get(error.status, "service")
    refused = Delivery(
        new_id(),
        repository.app,
        error.status,
        forge.name,
        describe_event(forge, delivery) or None,
        forge_id=get_delivery_id(forge, delivery),
        failed_check=check,
        detail=make_storable(f"{error.detail}; {problem}" if problem else error.detail),
    )
    await deps.delivery_log.record_refusal(refused)
