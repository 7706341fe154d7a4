"""Builds what the route table says of an app, from its live manifests, instances and users. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from libs.common.manifests import apicomponent
from libs.common.manifests.apicomponent import APIComponent, ApiSpec, Auth
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.mlcomponent import MLComponent
from libs.common.protocol.access import AppAccess
from libs.common.protocol.route_table import (
    Api,
    ApiAuth,
    ApiInput,
    ApiOutput,
    AppRoutes,
    BlockingReason,
    ComponentRoutes,
    Endpoint,
    InputType,
)
from services.scheduler.components import rollout_verdict
from services.scheduler.model.autoscaling import ScalingBounds, instance_capacity
from services.scheduler.model.task import Task


def build_app_routes(catalog: Catalog, tasks: Iterable[Task], access: AppAccess, old_routes: AppRoutes) -> AppRoutes:
    """`tasks`: the open instances of the live revision; `old_routes`: the app's part of the table until now."""
    tasks = list(tasks)
    old_descriptions = {name: component.openapi for name, component in old_routes.components.items()}
    apis = list_published_apis(catalog)
    used_secrets = {api.auth.basic for api in apis if api.auth.basic}
    return AppRoutes(
        apis=apis,
        users={secret: users for secret, users in access.users.items() if secret in used_secrets},
        keys=access.keys,
        boxes=tuple(sorted(catalog.boxes)),
        components={
            name: build_component(manifest, [task for task in tasks if task.name == name], old_descriptions.get(name))
            for name, manifest in sorted(catalog.components.items())
        },
    )


def list_published_apis(catalog: Catalog) -> tuple[Api, ...]:
    return tuple(build_api(name, api) for name, api in sorted(catalog.apis.items()) if api.spec.published)


def build_api(name: str, api: APIComponent) -> Api:
    spec = api.spec
    target, target_name = _api_target(api)
    api_spec = spec.api_spec or ApiSpec()
    return Api(
        target=target,
        path=spec.restful_api.path if target_name else None,
        name=target_name,
        title=name,
        auth=build_auth(spec.restful_api.auth),
        identity=spec.restful_api.passes_identity,
        cors=spec.restful_api.cors.origins if spec.restful_api.cors else (),
        inputs=tuple(build_input(variable) for variable in api_spec.inputs),
        outputs=tuple(ApiOutput(variable.name, variable.description) for variable in api_spec.outputs),
    )


def build_input(variable: apicomponent.ApiInput) -> ApiInput:
    accepted = InputType(variable.type.datatypes, variable.type.content_types)
    return ApiInput(variable.name, variable.description, variable.required, accepted)


def _api_target(api: APIComponent) -> tuple[str, str | None]:
    if api.spec.ml_component:
        return "ml", api.spec.ml_component.name
    if api.spec.experiment_pipeline:
        return "pipeline", api.spec.experiment_pipeline.name
    return ("files" if api.spec.files is not None else "pipelines"), None


def build_auth(auth: Auth) -> ApiAuth:
    basic = auth.basic.credentials if auth.basic else None
    return ApiAuth(basic=basic, api_key=auth.api_key is not None, none=auth.none is not None)


def build_component(
    manifest: MLComponent, tasks: list[Task], stored_openapi: dict[str, object] | None
) -> ComponentRoutes:
    """`stored_openapi`: the description that an earlier instance reported."""
    endpoints = tuple(
        Endpoint(id=task.id, host=task.endpoint.host, port=task.endpoint.port, **_stored_token(task))
        for task in tasks
        if task.endpoint and task.phase != "unhealthy"
    )
    openapi = next((task.openapi for task in tasks if task.openapi), None)
    is_scaled = not ScalingBounds.from_component(manifest).is_fixed
    return ComponentRoutes(
        timeout=manifest.spec.ml_service.timeout,
        concurrency=instance_capacity(manifest),
        own_routes=manifest.spec.ml_service.app is not None,
        boxes=tuple(box.name for box in manifest.spec.connected_boxes),
        reason=None if endpoints else blocking_reason(tasks),
        openapi=openapi or (stored_openapi if is_scaled else None),
        endpoints=endpoints,
        scales=is_scaled,
        wakes_within=manifest.spec.start_timeout if is_scaled and not endpoints and can_wake(tasks) else None,
    )


def _stored_token(task: Task) -> dict[str, str]:
    """The token of an instance of an earlier release; other tokens are computed when the table is read."""
    spec = task.instance_spec
    return {"token": spec.instance_token} if spec is not None and spec.instance_token else {}


def can_wake(tasks: list[Task]) -> bool:
    """Whether a cold start would succeed: no instance is known to fail or to be blocked."""
    return not any(rollout_verdict.has_failed(task) or rollout_verdict.is_blocked(task) for task in tasks)


def blocking_reason(tasks: list[Task]) -> BlockingReason:
    """The reason that no instance answers."""
    for task in tasks:
        if task.reason:
            return BlockingReason(code=str(task.reason.code or "failed"), detail=str(task.reason.detail or ""))
    phase = next((task.phase for task in tasks if task.phase), None)
    if phase == "unhealthy":  # the detail that the instance reports is for owners
        detail = "its instances fail their health checks; one that does not recover is replaced"
        return BlockingReason(code=phase, detail=detail)
    detail = "an instance is starting" if tasks else "no instance exists yet"
    return BlockingReason(code=phase or "starting", detail=detail)
