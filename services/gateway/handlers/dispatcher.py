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
from services.gateway.auth.authenticator import Authenticator, parse_credentials
from services.gateway.auth.tokens import TokenVerifier
from services.gateway.handlers.open_inference import OpenInferenceHandler
from services.gateway.http_errors import InvalidAppCredentials, MissingCredentials, NoLiveApp, WrongApiKind
from services.gateway.internal_client import InternalService, InternalServices
from services.gateway.metrics import Metrics
from services.gateway.pages import html_pages, openapi
from services.gateway.predict.activator import Activator
from services.gateway.predict.handler import (
    PredictionHandler,
    PredictionRequest,
    build_token_header,
    get_component,
    no_instance_error,
)
from services.gateway.predict.load_reporter import LoadReporter
from services.gateway.proxy.connection_pool import ConnectionPool, fetch
from services.gateway.proxy.content_encoding import decode_body
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.proxy_call import ProxyCall, SingleUpstream, Upstream
from services.gateway.proxy.request import Body, Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.proxy.reverse_proxy import ReverseProxy
from services.gateway.proxy.upstream_connection import Headers
from services.gateway.routing.paths import Route, check_method
from services.gateway.routing.route_table import Api, App, Component, RouteTable

CONTROL_TIMEOUT_S = 120.0
OPENAPI_TIMEOUT_S = 5.0


class Dispatcher:
    def __init__(
        self,
        settings: Settings,
        pool: ConnectionPool,
        services: InternalServices,
        load_reporter: LoadReporter,
        activator: Activator,
        metrics: Metrics,
    ) -> None:
        self._url = settings.public_url
        self._limit = settings.body_limit
        self._file_limit = settings.file_limit
        self._pool = pool
        self._services = services
        self._proxy = ReverseProxy(pool)
        self._trusted_proxies = TrustedProxies(settings.trusted_proxies)
        self._internal_token = settings.internal_token
        self._grant_signer = Seal(settings.internal_token)
        self._predictions = PredictionHandler(
            settings, self._proxy, self._trusted_proxies, self._grant_signer, load_reporter, activator, metrics
        )
        self._tokens = TokenVerifier(services.registry)
        self._authenticator = Authenticator(self._tokens, self._trusted_proxies, settings.public_url)
        self._open_inference = OpenInferenceHandler(self._authenticator, self._predictions, self._limit)

    async def handle(
        self, table: RouteTable, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        match route.kind:
            case "api":
                await self._handle_platform_api(route, request, receive, response)
            case "hooks" | "links":
                await self._handle_unauthenticated(route, request, receive, response)
            case "runs":
                await self._handle_runs(_get_app(table, route), route, request, receive, response)
            case "files":
                await self._handle_files(_get_app(table, route), route, request, receive, response)
            case "v2":
                await self._open_inference.handle(_get_app(table, route), route, request, receive, response)
            case _:
                await self._handle_app_api(_get_app(table, route), route, request, receive, response)

    async def _handle_platform_api(
        self, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        identity: Headers = []
        bearer = parse_credentials(request.by_name).bearer
        if not route.open:
            if bearer is None:
                raise MissingCredentials()
            caller = await self._tokens.verify(bearer)
            request.user = caller.token_name
            scopes = " ".join(sorted(caller.scopes))
            identity = [
                _encode_header(USER, OWNER),
                _encode_header(TOKEN_NAME, caller.token_name),
                _encode_header(SCOPES, scopes),
            ]
        body = decode_body(request, receive, self._limit)
        await self._forward_to_service(
            self._select_service(route), request, request.raw_path.rstrip("/"), identity, body, response
        )

    async def check_metrics_access(self, request: Request) -> None:
        """Numbers name all apps: for who may read all of them. Raises NoCredentials, Forbidden."""
        bearer = parse_credentials(request.by_name).bearer
        if bearer is None:
            raise MissingCredentials()
        if not hmac.compare_digest(bearer.encode(), self._internal_token.encode()):
            (await self._tokens.verify(bearer)).require("read")

    async def _handle_unauthenticated(
        self, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        """Webhooks and links, whose credentials are read where they go."""
        extra: Headers = []
        if route.kind == "hooks" and (authorization := request.by_name.get(b"authorization")):
            extra = [(b"x-mlmesh-authorization", authorization)]
        limit = None if route.kind == "hooks" else self._file_limit  # registry refuses before it reads
        body = Body(request, receive, limit)
        await self._forward_to_service(self._select_service(route), request, request.raw_path, extra, body, response)

    async def _handle_runs(
        self, app: App, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        identity = await self._authenticator.authenticate_runs(app, request, has_run_id=route.suffix.strip("/") != "")
        request.user = identity.user
        extra = [_encode_header(USER, identity.user), _encode_header(PIPELINES, " ".join(sorted(identity.pipelines)))]
        path = f"/internal/apps/{app.ns}/runs{route.suffix}"
        await self._forward_to_service(
            self._services.scheduler, request, path, extra, decode_body(request, receive, self._limit), response
        )

    async def _handle_files(
        self, app: App, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        grant = request.by_name.get(GRANT)
        if grant is not None:
            user, can_write = self._check_grant(grant.decode("latin-1"), app, route), True
        else:
            user = request.user = await self._authenticator.authenticate_files(app, request)
            can_write = await self._authenticator.can_write_files(app, request)
        path = f"/internal/apps/{app.ns}/users/{quote(user, safe='')}/files/{route.suffix}"
        extra = [_encode_header(USER, user), _encode_header(SCOPES, f"{'write' if can_write else 'read'}:{app.ns}")]
        body = Body(request, receive, self._file_limit)
        await self._forward_to_service(self._services.databox, request, path, extra, body, response)

    def _find_worker_user(self, app: App, api: Api, request: Request) -> str | None:
        """For whom a worker calls; None when it is somebody else."""
        grant = self._grant_signer.opened(request.by_name[GRANT].decode("latin-1"), time.time())
        is_valid = grant is not None and grant.call and (grant.app, grant.call) == (app.ns, (api.path or "").strip("/"))
        return grant.user if grant is not None and is_valid else None

    def _check_grant(self, text: str, app: App, route: Route) -> str:
        grant = self._grant_signer.opened(text, time.time())
        if grant is None or grant.app != app.ns:
            raise InvalidAppCredentials(app.ns)
        if route.box not in grant.boxes:
            raise Forbidden(f"the grant does not reach the box {route.box!r}")
        return grant.user

    async def _handle_app_api(
        self, app: App, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        api = app.paths.get(route.path)
        if api is None:
            raise NotFound(f'the app "{app.ns}" has no API at "{route.path}"')
        component = get_component(app, api) if api.target == "ml" else None
        if component is not None and component.is_web_app:
            await self._handle_web_app(app, api, component, route, request, receive, response)
            return
        expected_target = {"predict": "ml", "submit": "pipeline", "web_app": ""}.get(route.kind)
        if expected_target not in (None, api.target):
            if route.kind == "web_app" and route.suffix in ("", "/") and request.wants_html:
                await response.redirect_to(f"/{quote(app.ns)}/{quote(route.path)}/docs")
                return
            raise WrongApiKind(app.ns, route.path, api.target)
        check_method(route.kind, request.method)
        worker_user = self._find_worker_user(app, api, request) if GRANT in request.by_name else None
        user = request.user = worker_user or await self._authenticator.authenticate_api(app, api, request)
        if route.kind == "submit":
            await self._submit_run(app, api, user, "runs", request, receive, response)
        elif route.kind == "predict" and worker_user is None and wants_async(request):
            await self._submit_run(app, api, user, "calls", request, receive, response)
        elif component is not None and route.kind == "predict":
            body = decode_body(request, receive, self._limit)
            prediction = PredictionRequest(
                app, api, component, user, request, body, "/predict", worker_user is not None
            )
            await self._predictions.handle(prediction, response)
        else:
            document = await self._build_openapi(app, api)
            await (
                response.send_json(document)
                if route.kind == "describe"
                else response.send_html(html_pages.render_api_docs(document))
            )

    async def _handle_web_app(
        self,
        app: App,
        api: Api,
        component: Component,
        route: Route,
        request: Request,
        receive: Receive,
        response: ResponseWriter,
    ) -> None:
        """A component that is a web application of its own."""
        user = request.user = await self._authenticator.authenticate_api(app, api, request)
        if not route.suffix and request.method in ("GET", "HEAD") and request.take_transport is None:
            await response.redirect_to_directory(request)  # its pages' relative addresses begin there
            return
        body = Body(request, receive, self._file_limit)
        await self._predictions.handle(
            PredictionRequest(app, api, component, user, request, body, route.suffix or "/"), response
        )

    async def _submit_run(
        self,
        app: App,
        api: Api,
        user: str,
        collection: str,
        request: Request,
        receive: Receive,
        response: ResponseWriter,
    ) -> None:
        """A run, or a call that becomes one."""
        extra = [_encode_header(USER, user), _encode_header(PIPELINES, api.name or "")]
        path = f"/internal/apps/{app.ns}/apis/{quote((api.path or '').strip('/'), safe='')}/{collection}"
        await self._forward_to_service(
            self._services.scheduler, request, path, extra, decode_body(request, receive, self._limit), response
        )

    async def _build_openapi(self, app: App, api: Api) -> dict[str, Any]:
        url = f"{self._url}/{app.ns}/{(api.path or '').strip('/')}"
        if api.target == "pipeline":
            return openapi.build_pipeline_document(api, url)
        component = get_component(app, api)
        document = await self._fetch_openapi(component) or component.openapi
        if document is None:
            raise no_instance_error(component)
        return openapi.build_component_document(document, api, url)

    async def _fetch_openapi(self, component: Component) -> dict[str, Any] | None:
        """What a running instance says of itself; None when none answers."""
        for endpoint in component.endpoints:
            try:
                status, content = await fetch(
                    self._pool, (endpoint.host, endpoint.port), "GET", "/openapi.json", [build_token_header(endpoint)],
                    timeout=OPENAPI_TIMEOUT_S,
                )  # fmt: skip
                document = orjson.loads(content) if status == 200 else None
            except (MeshError, orjson.JSONDecodeError):
                continue
            if isinstance(document, dict):
                return document
        return None

    def _select_service(self, route: Route) -> InternalService:
        by_name = {"scheduler": self._services.scheduler, "databox": self._services.databox}
        return by_name.get(route.service or "", self._services.registry)

    async def _forward_to_service(
        self,
        service: InternalService,
        request: Request,
        path: str,
        extra: Headers,
        body: Body,
        response: ResponseWriter,
    ) -> None:
        """On to another service, as ourselves."""
        call = ProxyCall(
            name=service.name,
            method=request.method,
            target=request.build_target(path),
            headers=[
                *self._trusted_proxies.build_upstream_headers(request),
                (b"authorization", service.authorization),
                *extra,
            ],
            candidates=SingleUpstream(Upstream(service.address, [])),
            no_upstream_error=lambda: Unavailable(f"{service.name} cannot be reached"),
            response_timeout=CONTROL_TIMEOUT_S,
            is_internal=True,
        )
        await self._proxy.forward(call, body, response)


def wants_async(request: Request) -> bool:
    """Whether the caller wants a run instead of an answer."""
    prefer = request.by_name.get(b"prefer")
    return prefer is not None and b"respond-async" in prefer


def _get_app(table: RouteTable, route: Route) -> App:
    app = table.apps.get(route.ns)
    if app is None:
        raise NoLiveApp(route.ns)
    return app


def _encode_header(name: str, value: str) -> tuple[bytes, bytes]:
    return (name.lower().encode(), value.encode())
