"""The scheduler's documents as the lookup structures that a request needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

Target = Literal["ml", "pipeline", "files", "pipelines"]
Document = Mapping[str, Any]
Shown = tuple[Target, str | None, bytes | None, bytes | None]
"""An API's target and path, and the credentials that were shown there."""


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
    own_routes: bool = False
    """It is a web application of its own: every path and method is passed on."""
    reason: Document | None = None
    """Why there is no healthy endpoint."""
    openapi: Document | None = None
    """What its last healthy instance said of itself."""
    scales: bool = False
    """The number of its instances follows the calls."""
    wakes_within: float | None = None
    """Nothing answers now; a call that waits may find an instance within so many seconds."""


@dataclass(frozen=True)
class Api:
    target: Target
    path: str | None = None
    name: str | None = None
    title: str = ""
    basic: str | None = None
    """Name of the secret that holds its users."""
    api_key: bool = False
    none: bool = False
    identity: bool = False
    cors: tuple[str, ...] = ()
    """Origins of other sites whose pages may call; `*` is all of them."""
    inputs: tuple[Document, ...] = ()
    outputs: tuple[Document, ...] = ()

    @property
    def open(self) -> bool:
        """Nobody has to say who they are, and nobody can."""
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
    """The APIs of a component, by its name and by theirs."""
    shared: bool = False
    """Pages of other origins may call some of its APIs."""
    callers: dict[Shown, str] = field(default_factory=dict, compare=False)
    """Who was let in by what."""

    def api(self, target: Target) -> Api | None:
        """The app's only API of a kind without a path."""
        return next((api for api in self.apis if api.target == target), None)

    def pipelines(self) -> tuple[Api, ...]:
        """The APIs whose callers may have runs."""
        return tuple(api for api in self.apis if api.target in ("pipeline", "pipelines", "ml"))


@dataclass(frozen=True)
class Table:
    version: int = 0
    apps: Mapping[str, App] = field(default_factory=dict)
    documents: Mapping[str, Document] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    """Apps whose documents cannot be read: they stay as they were, and change nothing for the others."""

    def has(self, ns: str, path: str, *, model: bool = False) -> bool:
        """Whether a call there has somewhere to go; `path` is empty for what needs only the app."""
        app = self.apps.get(ns)
        if app is None or not path:
            return app is not None
        api = next(iter(app.models.get(path, ())), None) if model else app.paths.get(path)
        if api is None or api.target != "ml":
            return api is not None
        component = app.components.get(api.name or "")
        return component is not None and (bool(component.endpoints) or component.wakes_within is not None)

    def document(self) -> dict[str, Any]:
        """What is kept on disk; `changed` reads it."""
        return {"version": self.version, "full": True, "apps": dict(self.documents)}


def changed(table: Table, change: Document) -> Table:
    """The table after the scheduler's answer; apps that did not change keep their very object."""
    given: Mapping[str, Document | None] = change["apps"]
    full, version = bool(change.get("full")), int(change["version"])
    documents = {} if full else dict(table.documents)
    for ns, document in given.items():
        if document is None:
            documents.pop(ns, None)
        else:
            documents[ns] = document
    apps, unread = {}, []
    for ns, document in documents.items():
        try:
            same = ns in table.apps and table.documents.get(ns) == document
            apps[ns] = table.apps[ns] if same else _app(ns, document)
        except (AttributeError, LookupError, TypeError, ValueError):
            unread.append(ns)
            if ns in table.apps:
                apps[ns] = table.apps[ns]
    return Table(version, apps, documents, tuple(unread))


def _app(ns: str, document: Document) -> App:
    apis = tuple(_api(one) for one in document.get("apis", ()))
    return App(
        ns=ns,
        apis=apis,
        users=document.get("users") or {},
        keys=document.get("keys") or {},
        components={name: _component(name, one) for name, one in (document.get("components") or {}).items()},
        paths={api.path.strip("/"): api for api in apis if api.path and api.target in ("ml", "pipeline")},
        models=_models([api for api in apis if api.target == "ml"]),
        shared=any(api.cors for api in apis),
    )


def _models(apis: list[Api]) -> dict[str, tuple[Api, ...]]:
    found: dict[str, tuple[Api, ...]] = {}
    for api in apis:
        for name in {api.name or "", (api.path or "").strip("/")}:
            found[name] = (*found.get(name, ()), api)
    return found


def _api(one: Document) -> Api:
    auth = one.get("auth") or {}
    return Api(
        target=cast(Target, one["target"]),
        path=one.get("path"),
        name=one.get("name"),
        title=one.get("title") or "",
        basic=auth.get("basic"),
        api_key=bool(auth.get("api_key")),
        none=bool(auth.get("none")),
        identity=bool(one.get("identity")),
        cors=tuple(one.get("cors") or ()),
        inputs=tuple(one.get("inputs") or ()),
        outputs=tuple(one.get("outputs") or ()),
    )


def _component(name: str, one: Document) -> Component:
    return Component(
        name=name,
        timeout=float(one.get("timeout") or 30.0),
        concurrency=int(one.get("concurrency") or 1),
        own_routes=bool(one.get("own_routes")),
        boxes=tuple(one.get("boxes") or ()),
        endpoints=tuple(
            Endpoint(str(e["id"]), str(e["host"]), int(e["port"]), str(e.get("token") or ""))
            for e in one.get("endpoints") or ()
        ),
        reason=one.get("reason"),
        openapi=one.get("openapi"),
        scales=bool(one.get("scales")),
        wakes_within=one.get("wakes_within"),
    )
