"""One function for each kind of route: who may, where it goes, with which headers."""

from __future__ import annotations

import hmac
import time
from typing import Any
from urllib.parse import quote

import orjson
from starlette.types import Receive

from libs.common.errors import Forbidden, MeshError, NotFound, Unavailable
from libs.common.grants import GRANT, Seal
from libs.common.identity import OWNER, PIPELINES, SCOPES, TOKEN_NAME, USER
from libs.common.settings import Settings
from services.gateway.auth.authenticator import Auth, credentials
from services.gateway.auth.tokens import Tokens
from services.gateway.handlers.open_inference import Inference
from services.gateway.http_errors import AnotherKind, NoCredentials, NotACaller, NothingLive
from services.gateway.internal_client import Service, Services
from services.gateway.metrics import Metrics
from services.gateway.pages import html_pages, openapi
from services.gateway.predict.activator import Cold
from services.gateway.predict.handler import Asked, Predictions, asleep, component_of, token
from services.gateway.predict.load_reporter import Demand
from services.gateway.proxy.connection_pool import Pool, fetch
from services.gateway.proxy.content_encoding import unpacked
from services.gateway.proxy.forwarded import Proxies
from services.gateway.proxy.proxy_call import Call, Hop, Only
from services.gateway.proxy.request import Body, Request
from services.gateway.proxy.response_writer import Answer
from services.gateway.proxy.reverse_proxy import Proxy
from services.gateway.proxy.upstream_connection import Headers
from services.gateway.routing.paths import Route, allow
from services.gateway.routing.route_table import Api, App, Component, Table

CONTROL_TIMEOUT_S = 120.0
DESCRIBE_TIMEOUT_S = 5.0


class Handlers:
    def __init__(
        self, settings: Settings, pool: Pool, services: Services, demand: Demand, cold: Cold, metrics: Metrics
    ) -> None:
        self._url = settings.public_url
        self._limit = settings.body_limit
        self._file_limit = settings.file_limit
        self._pool = pool
        self._services = services
        self._proxy = Proxy(pool)
        self._proxies = Proxies(settings.trusted_proxies)
        self._internal = settings.internal_token
        self._seal = Seal(settings.internal_token)
        self._predictions = Predictions(settings, self._proxy, self._proxies, self._seal, demand, cold, metrics)
        self._tokens = Tokens(services.registry)
        self._auth = Auth(self._tokens, self._proxies, settings.public_url)
        self._inference = Inference(self._auth, self._predictions, self._limit)

    async def handle(self, table: Table, route: Route, request: Request, receive: Receive, answer: Answer) -> None:
        match route.kind:
            case "api":
                await self._api(route, request, receive, answer)
            case "hooks" | "links":
                await self._given(route, request, receive, answer)
            case "runs":
                await self._runs(_app(table, route), route, request, receive, answer)
            case "files":
                await self._files(_app(table, route), route, request, receive, answer)
            case "v2":
                await self._inference.handle(_app(table, route), route, request, receive, answer)
            case _:
                await self._of_api(_app(table, route), route, request, receive, answer)

    async def _api(self, route: Route, request: Request, receive: Receive, answer: Answer) -> None:
        identity: Headers = []
        bearer = credentials(request.by_name).bearer
        if not route.open:
            if bearer is None:
                raise NoCredentials()
            caller = await self._tokens.caller(bearer)
            request.user = caller.token_name
            scopes = " ".join(sorted(caller.scopes))
            identity = [
                _header(USER, OWNER),
                _header(TOKEN_NAME, caller.token_name),
                _header(SCOPES, scopes),
            ]
        body = unpacked(request, receive, self._limit)
        await self._to(self._service(route), request, request.raw_path.rstrip("/"), identity, body, answer)

    async def check_may_measure(self, request: Request) -> None:
        """Numbers name all apps: for who may read all of them. Raises NoCredentials, Forbidden."""
        bearer = credentials(request.by_name).bearer
        if bearer is None:
            raise NoCredentials()
        if not hmac.compare_digest(bearer.encode(), self._internal.encode()):
            (await self._tokens.caller(bearer)).require("read")

    async def _given(self, route: Route, request: Request, receive: Receive, answer: Answer) -> None:
        """Webhooks and links, whose credentials are read where they go."""
        extra: Headers = []
        if route.kind == "hooks" and (given := request.by_name.get(b"authorization")):
            extra = [(b"x-mlmesh-authorization", given)]
        limit = None if route.kind == "hooks" else self._file_limit  # registry refuses before it reads
        body = Body(request, receive, limit)
        await self._to(self._service(route), request, request.raw_path, extra, body, answer)

    async def _runs(self, app: App, route: Route, request: Request, receive: Receive, answer: Answer) -> None:
        identity = await self._auth.of_runs(app, request, named=route.rest.strip("/") != "")
        request.user = identity.user
        extra = [_header(USER, identity.user), _header(PIPELINES, " ".join(sorted(identity.pipelines)))]
        path = f"/internal/apps/{app.ns}/runs{route.rest}"
        await self._to(self._services.scheduler, request, path, extra, unpacked(request, receive, self._limit), answer)

    async def _files(self, app: App, route: Route, request: Request, receive: Receive, answer: Answer) -> None:
        given = request.by_name.get(GRANT)
        if given is not None:
            user, writes = self._granted(given.decode("latin-1"), app, route), True
        else:
            user = request.user = await self._auth.of_files(app, request)
            writes = await self._auth.may_write_files(app, request)
        path = f"/internal/apps/{app.ns}/users/{quote(user, safe='')}/files/{route.rest}"
        extra = [_header(USER, user), _header(SCOPES, f"{'write' if writes else 'read'}:{app.ns}")]
        body = Body(request, receive, self._file_limit)
        await self._to(self._services.databox, request, path, extra, body, answer)

    def _job(self, app: App, api: Api, request: Request) -> str | None:
        """For whom a worker calls; None when it is somebody else."""
        grant = self._seal.opened(request.by_name[GRANT].decode("latin-1"), time.time())
        mine = grant is not None and grant.call and (grant.app, grant.call) == (app.ns, (api.path or "").strip("/"))
        return grant.user if grant is not None and mine else None

    def _granted(self, text: str, app: App, route: Route) -> str:
        grant = self._seal.opened(text, time.time())
        if grant is None or grant.app != app.ns:
            raise NotACaller(app.ns)
        if route.box not in grant.boxes:
            raise Forbidden(f"the grant does not reach the box {route.box!r}")
        return grant.user

    async def _of_api(self, app: App, route: Route, request: Request, receive: Receive, answer: Answer) -> None:
        api = app.paths.get(route.path)
        if api is None:
            raise NotFound(f'the app "{app.ns}" has no API at "{route.path}"')
        component = component_of(app, api) if api.target == "ml" else None
        if component is not None and component.own_routes:
            await self._own(app, api, component, route, request, receive, answer)
            return
        wanted = {"predict": "ml", "submit": "pipeline", "own": ""}.get(route.kind)
        if wanted not in (None, api.target):
            if route.kind == "own" and route.rest in ("", "/") and request.visits:
                await answer.moved(f"/{quote(app.ns)}/{quote(route.path)}/docs")
                return
            raise AnotherKind(app.ns, route.path, api.target)
        allow(route.kind, request.method)
        job = self._job(app, api, request) if GRANT in request.by_name else None
        user = request.user = job or await self._auth.of_api(app, api, request)
        if route.kind == "submit":
            await self._submit(app, api, user, "runs", request, receive, answer)
        elif route.kind == "predict" and job is None and later(request):
            await self._submit(app, api, user, "calls", request, receive, answer)
        elif component is not None and route.kind == "predict":
            body = unpacked(request, receive, self._limit)
            asked = Asked(app, api, component, user, request, body, "/predict", job is not None)
            await self._predictions.handle(asked, answer)
        else:
            found = await self._described(app, api)
            await (answer.json(found) if route.kind == "describe" else answer.page(html_pages.description(found)))

    async def _own(
        self, app: App, api: Api, component: Component, route: Route, request: Request, receive: Receive, answer: Answer
    ) -> None:
        """A component that is a web application of its own."""
        user = request.user = await self._auth.of_api(app, api, request)
        if not route.rest and request.method in ("GET", "HEAD") and request.hand_over is None:
            await answer.redirect(request)  # its pages' relative addresses begin there
            return
        body = Body(request, receive, self._file_limit)
        await self._predictions.handle(Asked(app, api, component, user, request, body, route.rest or "/"), answer)

    async def _submit(
        self, app: App, api: Api, user: str, what: str, request: Request, receive: Receive, answer: Answer
    ) -> None:
        """A run, or a call that becomes one."""
        extra = [_header(USER, user), _header(PIPELINES, api.name or "")]
        path = f"/internal/apps/{app.ns}/apis/{quote((api.path or '').strip('/'), safe='')}/{what}"
        await self._to(self._services.scheduler, request, path, extra, unpacked(request, receive, self._limit), answer)

    async def _described(self, app: App, api: Api) -> dict[str, Any]:
        url = f"{self._url}/{app.ns}/{(api.path or '').strip('/')}"
        if api.target == "pipeline":
            return openapi.of_pipeline(api, url)
        component = component_of(app, api)
        described = await self._says(component) or component.openapi
        if described is None:
            raise asleep(component)
        return openapi.of_component(described, api, url)

    async def _says(self, component: Component) -> dict[str, Any] | None:
        """What a running instance says of itself; None when none answers."""
        for one in component.endpoints:
            try:
                status, content = await fetch(
                    self._pool, (one.host, one.port), "GET", "/openapi.json", [token(one)],
                    timeout=DESCRIBE_TIMEOUT_S,
                )  # fmt: skip
                found = orjson.loads(content) if status == 200 else None
            except (MeshError, orjson.JSONDecodeError):
                continue
            if isinstance(found, dict):
                return found
        return None

    def _service(self, route: Route) -> Service:
        by_name = {"scheduler": self._services.scheduler, "databox": self._services.databox}
        return by_name.get(route.service or "", self._services.registry)

    async def _to(
        self, service: Service, request: Request, path: str, extra: Headers, body: Body, answer: Answer
    ) -> None:
        """On to another service, as ourselves."""
        call = Call(
            name=service.name,
            method=request.method,
            target=request.target(path),
            headers=[*self._proxies.passed_on(request), (b"authorization", service.authorization), *extra],
            hops=Only(Hop(service.address, [])),
            nowhere=lambda: Unavailable(f"{service.name} cannot be reached"),
            answer_within=CONTROL_TIMEOUT_S,
            ours=True,
        )
        await self._proxy.forward(call, body, answer)


def later(request: Request) -> bool:
    """Whether the caller wants a run instead of an answer."""
    prefer = request.by_name.get(b"prefer")
    return prefer is not None and b"respond-async" in prefer


def _app(table: Table, route: Route) -> App:
    app = table.apps.get(route.ns)
    if app is None:
        raise NothingLive(route.ns)
    return app


def _header(name: str, value: str) -> tuple[bytes, bytes]:
    return (name.lower().encode(), value.encode())
