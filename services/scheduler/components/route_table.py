"""An app's part of the route table, built from its live manifests, instances and users. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from libs.common.manifests.apicomponent import APIComponent, Auth
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.mlcomponent import MLComponent
from services.scheduler.components import rollout_verdict
from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.scaling import ScalingBounds, instance_capacity
from services.scheduler.model.task import Task


def build_app_routes(
    catalog: Catalog, tasks: Iterable[Task], access: Mapping[str, Any], old_routes: Mapping[str, Any]
) -> dict[str, Any]:
    """`tasks`: the open instances of the live revision; `old_routes`: the app's part of the table until now."""
    tasks = list(tasks)
    old_components = old_routes.get("components", {})
    apis = [api_to_json(name, api) for name, api in sorted(catalog.apis.items()) if api.spec.published]
    used_secrets = {api["auth"]["basic"] for api in apis if api["auth"]["basic"]}
    return {
        "apis": apis,
        "users": {secret: users for secret, users in access.get("users", {}).items() if secret in used_secrets},
        "keys": dict(access.get("keys", {})),
        "boxes": sorted(catalog.boxes),
        "components": {
            name: component_routes(
                manifest, [task for task in tasks if task.name == name], old_components.get(name, {}).get("openapi")
            )
            for name, manifest in sorted(catalog.components.items())
        },
    }


def api_to_json(name: str, api: APIComponent) -> dict[str, Any]:
    spec = api.spec
    target, target_name = _api_target(api)
    api_spec = spec.api_spec
    return {
        "target": target,
        "path": spec.restful_api.path if target_name else None,
        "name": target_name,
        "title": name,
        "auth": auth_to_json(spec.restful_api.auth),
        "identity": spec.restful_api.passes_identity,
        "cors": list(spec.restful_api.cors.origins) if spec.restful_api.cors else [],
        "inputs": [item.model_dump(mode="json", by_alias=True) for item in api_spec.inputs] if api_spec else [],
        "outputs": [item.model_dump(mode="json", by_alias=True) for item in api_spec.outputs] if api_spec else [],
    }


def _api_target(api: APIComponent) -> tuple[str, str | None]:
    if api.spec.ml_component:
        return "ml", api.spec.ml_component.name
    if api.spec.experiment_pipeline:
        return "pipeline", api.spec.experiment_pipeline.name
    return ("files" if api.spec.files is not None else "pipelines"), None


def auth_to_json(auth: Auth) -> dict[str, Any]:
    basic = auth.basic.credentials if auth.basic else None
    return {"basic": basic, "api_key": auth.api_key is not None, "none": auth.none is not None}


def component_routes(manifest: MLComponent, tasks: list[Task], stored_openapi: Any) -> dict[str, Any]:
    """`stored_openapi`: the description that an earlier instance reported."""
    routable = [task for task in tasks if task.endpoint and task.phase != "unhealthy"]
    endpoints = [
        {"id": task.id, "host": task.endpoint["host"], "port": task.endpoint["port"], **_stored_token(task)}
        for task in routable
        if task.endpoint
    ]
    openapi = next((task.openapi for task in tasks if task.openapi), None)
    is_scaled = not ScalingBounds.from_component(manifest).is_fixed
    return {
        "timeout": manifest.spec.ml_service.timeout,
        "concurrency": instance_capacity(manifest),
        "own_routes": manifest.spec.ml_service.app is not None,
        "boxes": [box.name for box in manifest.spec.connected_boxes],
        "reason": None if endpoints else blocking_reason(tasks),
        "openapi": openapi or (stored_openapi if is_scaled else None),
        "endpoints": endpoints,
        "scales": is_scaled,
        "wakes_within": manifest.spec.start_timeout if is_scaled and not endpoints and can_wake(tasks) else None,
    }


def _stored_token(task: Task) -> dict[str, str]:
    """The token of an instance of an earlier release; other tokens are computed when the table is read."""
    return {"token": task.spec["instance_token"]} if "instance_token" in task.spec else {}


def can_wake(tasks: list[Task]) -> bool:
    """Whether a cold start would succeed: no instance is known to fail or to be blocked."""
    return not any(rollout_verdict.has_failed(task) or rollout_verdict.is_blocked(task) for task in tasks)


def blocking_reason(tasks: list[Task]) -> Reason:
    """The reason that no instance answers."""
    for task in tasks:
        if task.reason:
            return {key: task.reason[key] for key in ("code", "detail") if key in task.reason}
    phase = next((task.phase for task in tasks if task.phase), None)
    if phase == "unhealthy":  # the detail that the instance reports is for owners
        return reason(phase, "its instances fail their health checks; one that does not recover is replaced")
    return reason(phase or "starting", "an instance is starting" if tasks else "no instance exists yet")
