"""The route table: the scheduler's documents parsed into what a request looks up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

Target = Literal["ml", "pipeline", "files", "pipelines"]
Document = Mapping[str, Any]
CredentialKey = tuple[Target, str | None, bytes | None, bytes | None]
"""Target and path of an API, and the credentials sent to it."""


@dataclass(frozen=True)
class Endpoint:
    id: str
    host: str
    port: int
    token: str


@dataclass(frozen=True)
class Component:
    name: str
    timeout: float
    concurrency: int
    boxes: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    is_web_app: bool = False
    """A web application: every path and method is forwarded."""
    reason: Document | None = None
    """Why there is no healthy endpoint."""
    openapi: Document | None = None
    """The OpenAPI document of its last healthy instance."""
    scales: bool = False
    """Autoscaled: the gateway reports its load."""
    cold_start_timeout: float | None = None
    """Set while it has no instance: seconds that a call may wait for one."""


@dataclass(frozen=True)
class Api:
    target: Target
    path: str | None = None
    name: str | None = None
    title: str = ""
    basic: str | None = None
    """Name of the secret with its users and password hashes."""
    api_key: bool = False
    none: bool = False
    identity: bool = False
    cors: tuple[str, ...] = ()
    """CORS origins; `*` for all."""
    inputs: tuple[Document, ...] = ()
    outputs: tuple[Document, ...] = ()

    @property
    def is_open(self) -> bool:
        """Accepts no credentials: all callers are anonymous."""
        return self.none and self.basic is None and not self.api_key


@dataclass(frozen=True)
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

    def find_api(self, target: Target) -> Api | None:
        """The API of this target, for targets that an app has at most once."""
        return next((api for api in self.apis if api.target == target), None)

    def list_run_apis(self) -> tuple[Api, ...]:
        """The APIs whose callers can have runs."""
        return tuple(api for api in self.apis if api.target in ("pipeline", "pipelines", "ml"))


@dataclass(frozen=True)
class RouteTable:
    version: int = 0
    apps: Mapping[str, App] = field(default_factory=dict)
    documents: Mapping[str, Document] = field(default_factory=dict)
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
        component = app.components.get(api.name or "")
        return component is not None and (bool(component.endpoints) or component.cold_start_timeout is not None)

    def to_json(self) -> dict[str, Any]:
        """The form on disk, which `apply_delta` reads."""
        return {"version": self.version, "full": True, "apps": dict(self.documents)}


def apply_delta(table: RouteTable, delta: Document) -> RouteTable:
    """The table after the scheduler's response; unchanged apps keep the same object, and with it their caches."""
    changes: Mapping[str, Document | None] = delta["apps"]
    full, version = bool(delta.get("full")), int(delta["version"])
    documents = {} if full else dict(table.documents)
    for ns, document in changes.items():
        if document is None:
            documents.pop(ns, None)
        else:
            documents[ns] = document
    apps, invalid_apps = {}, []
    for ns, document in documents.items():
        try:
            is_unchanged = ns in table.apps and table.documents.get(ns) == document
            apps[ns] = table.apps[ns] if is_unchanged else _parse_app(ns, document)
        except (AttributeError, LookupError, TypeError, ValueError):
            invalid_apps.append(ns)
            if ns in table.apps:
                apps[ns] = table.apps[ns]
    return RouteTable(version, apps, documents, tuple(invalid_apps))


def _parse_app(ns: str, document: Document) -> App:
    apis = tuple(_parse_api(entry) for entry in document.get("apis", ()))
    return App(
        ns=ns,
        apis=apis,
        users=document.get("users") or {},
        keys=document.get("keys") or {},
        components={name: _parse_component(name, entry) for name, entry in (document.get("components") or {}).items()},
        paths={api.path.strip("/"): api for api in apis if api.path and api.target in ("ml", "pipeline")},
        models=_group_by_model([api for api in apis if api.target == "ml"]),
        uses_cors=any(api.cors for api in apis),
    )


def _group_by_model(apis: list[Api]) -> dict[str, tuple[Api, ...]]:
    models: dict[str, tuple[Api, ...]] = {}
    for api in apis:
        for name in {api.name or "", (api.path or "").strip("/")}:
            models[name] = (*models.get(name, ()), api)
    return models


def _parse_api(document: Document) -> Api:
    auth = document.get("auth") or {}
    return Api(
        target=cast(Target, document["target"]),
        path=document.get("path"),
        name=document.get("name"),
        title=document.get("title") or "",
        basic=auth.get("basic"),
        api_key=bool(auth.get("api_key")),
        none=bool(auth.get("none")),
        identity=bool(document.get("identity")),
        cors=tuple(document.get("cors") or ()),
        inputs=tuple(document.get("inputs") or ()),
        outputs=tuple(document.get("outputs") or ()),
    )


def _parse_component(name: str, document: Document) -> Component:
    return Component(
        name=name,
        timeout=float(document.get("timeout") or 30.0),
        concurrency=int(document.get("concurrency") or 1),
        is_web_app=bool(document.get("own_routes")),
        boxes=tuple(document.get("boxes") or ()),
        endpoints=tuple(
            Endpoint(
                str(endpoint["id"]), str(endpoint["host"]), int(endpoint["port"]), str(endpoint.get("token") or "")
            )
            for endpoint in document.get("endpoints") or ()
        ),
        reason=document.get("reason"),
        openapi=document.get("openapi"),
        scales=bool(document.get("scales")),
        cold_start_timeout=document.get("wakes_within"),
    )
