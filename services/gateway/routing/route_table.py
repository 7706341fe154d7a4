"""The route table: the scheduler's messages as what a request looks up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from libs.common.protocol.route_table import Api, AppRoutes, BlockingReason, ComponentRoutes, Endpoint, RouteTableChange

CredentialKey = tuple[str, str | None, bytes | None, bytes | None]
"""Target and path of an API, and the credentials sent to it."""


@dataclass(frozen=True, slots=True)
class Component:
    """`ComponentRoutes` as a call reads it."""

    name: str
    timeout: float
    concurrency: int
    boxes: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    is_web_app: bool = False
    """A web application: every path and method is forwarded."""
    reason: BlockingReason | None = None
    """Why there is no healthy endpoint."""
    openapi: Mapping[str, object] | None = None
    """The OpenAPI document of its last healthy instance."""
    scales: bool = False
    """Autoscaled: the gateway reports its load."""
    cold_start_timeout: float | None = None
    """Set while it has no instance: seconds that a call may wait for one."""


@dataclass(frozen=True, slots=True)
class App:
    ns: str
    apis: tuple[Api, ...] = ()
    users: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    components: Mapping[str, Component] = field(default_factory=dict)
    paths: Mapping[str, Api] = field(default_factory=dict)
    models: Mapping[str, tuple[Api, ...]] = field(default_factory=dict)
    """APIs of components, by component name and by path."""
    uses_cors: bool = False
    """At least one API has CORS origins."""
    auth_cache: dict[CredentialKey, str] = field(default_factory=dict, compare=False)
    """Users by the credentials that were right; a changed app starts with an empty cache."""

    def find_api(self, target: str) -> Api | None:
        """The API of this target, for targets that an app has at most once."""
        return next((api for api in self.apis if api.target == target), None)

    def find_component(self, api: Api) -> Component | None:
        """What an API publishes; None for a pipeline, files, and a component without routes."""
        return self.components.get(api.name or "")

    def list_run_apis(self) -> tuple[Api, ...]:
        """The APIs whose callers can have runs."""
        return tuple(api for api in self.apis if api.target in ("pipeline", "pipelines", "ml"))


@dataclass(frozen=True)
class RouteTable:
    version: int = 0
    apps: Mapping[str, App] = field(default_factory=dict)
    documents: Mapping[str, object] = field(default_factory=dict)
    """The `AppRoutes` of each app as scheduler wrote them."""
    invalid_apps: tuple[str, ...] = ()
    """Apps with an invalid document: their last valid routes stay."""

    def has_route(self, ns: str, path: str, *, is_model: bool = False) -> bool:
        """Whether a call can be routed; an empty `path` asks for the app alone."""
        app = self.apps.get(ns)
        if app is None or not path:
            return app is not None
        api = next(iter(app.models.get(path, ())), None) if is_model else app.paths.get(path)
        if api is None or api.target != "ml":
            return api is not None
        component = app.find_component(api)
        return component is not None and (bool(component.endpoints) or component.cold_start_timeout is not None)

    def find_web_app(self, ns: str, path: str) -> Api | None:
        """The API at this path, if a component serves it with pages of its own."""
        app = self.apps.get(ns)
        api = app.paths.get(path) if app is not None else None
        component = app.find_component(api) if app is not None and api is not None else None
        return api if component is not None and component.is_web_app else None

    def to_json(self) -> dict[str, object]:
        """The form on disk: a `RouteTableChange` with the documents as they came."""
        return {"version": self.version, "full": True, "apps": dict(self.documents)}


def apply_change(table: RouteTable, change: RouteTableChange) -> RouteTable:
    """The table after the scheduler's response; unchanged apps keep the same object, and with it their caches."""
    documents = {} if change.full else dict(table.documents)
    for ns, document in change.apps.items():
        if document is None:
            documents.pop(ns, None)
        else:
            documents[ns] = document
    apps, invalid_apps = {}, []
    for ns, document in documents.items():
        try:
            is_unchanged = ns in table.apps and table.documents.get(ns) == document
            apps[ns] = table.apps[ns] if is_unchanged else _build_app(ns, AppRoutes.model_validate(document))
        except ValidationError:
            invalid_apps.append(ns)
            if ns in table.apps:
                apps[ns] = table.apps[ns]
    return RouteTable(change.version, apps, documents, tuple(invalid_apps))


def _build_app(ns: str, routes: AppRoutes) -> App:
    return App(
        ns=ns,
        apis=routes.apis,
        users=routes.users,
        keys=routes.keys,
        components={name: _build_component(name, component) for name, component in routes.components.items()},
        paths={api.path.strip("/"): api for api in routes.apis if api.path and api.target in ("ml", "pipeline")},
        models=_group_by_model([api for api in routes.apis if api.target == "ml"]),
        uses_cors=any(api.cors for api in routes.apis),
    )


def _group_by_model(apis: list[Api]) -> dict[str, tuple[Api, ...]]:
    models: dict[str, tuple[Api, ...]] = {}
    for api in apis:
        for name in {api.name or "", (api.path or "").strip("/")}:
            models[name] = (*models.get(name, ()), api)
    return models


def _build_component(name: str, routes: ComponentRoutes) -> Component:
    return Component(
        name=name,
        timeout=routes.timeout,
        concurrency=routes.concurrency,
        is_web_app=routes.own_routes,
        boxes=routes.boxes,
        endpoints=routes.endpoints,
        reason=routes.reason,
        openapi=routes.openapi,
        scales=routes.scales,
        cold_start_timeout=routes.wakes_within,
    )
