"""The gateway as an ASGI application: composition, lifespan, routing of a request, errors."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common import log
from libs.common.bus import Bus
from libs.common.disk import Disk
from libs.common.errors import MeshError
from libs.common.settings import Settings
from services.gateway.access_log import AccessLog
from services.gateway.auth.auth_refresh import AuthRefresh
from services.gateway.auth.tokens import TokenVerifier
from services.gateway.handlers.app_hosts import AppHosts
from services.gateway.handlers.dispatcher import Dispatcher
from services.gateway.handlers.gateway_endpoints import KINDS as GATEWAY_ENDPOINTS
from services.gateway.handlers.gateway_endpoints import GatewayEndpoints
from services.gateway.handlers.platform_docs import PlatformDocs
from services.gateway.http_errors import InvalidAppCredentials
from services.gateway.internal_client import InternalServices
from services.gateway.metrics import Metrics
from services.gateway.pages import html_pages
from services.gateway.predict.activator import Activator
from services.gateway.predict.load_reporter import LoadReporter
from services.gateway.proxy.body import ClientDisconnected
from services.gateway.proxy.connection_pool import ConnectionPool
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.readiness import Readiness
from services.gateway.routing import cors
from services.gateway.routing.origins import AppOrigins
from services.gateway.routing.paths import check_method, parse_path
from services.gateway.routing.table_watcher import TableWatcher
from services.gateway.tracing import create_tracing


def create(settings: Settings, bus: Bus | None = None) -> ASGIApp:
    """The gateway; it does not use the bus."""
    return Gateway(settings)


class Gateway:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ConnectionPool()
        services = InternalServices(self._pool, settings)
        self._watcher = TableWatcher(services.scheduler, settings.data / "gateway" / "table.json")
        self._metrics = Metrics()
        self._load_reporter = LoadReporter(services.scheduler)
        activator = Activator(self._watcher, self._load_reporter)
        tokens = TokenVerifier(services.registry)
        self._dispatcher = Dispatcher(
            settings, self._pool, services, tokens, self._load_reporter, activator, self._metrics
        )
        self._auth_refresh = AuthRefresh(self._watcher)
        self._readiness = Readiness(self._watcher, services, Disk(settings.data, settings.disk_reserve))
        docs = PlatformDocs(services, settings.public_url)
        self._endpoints = GatewayEndpoints(settings, self._watcher, self._readiness, self._metrics, tokens, docs)
        trusted_proxies = TrustedProxies(settings.trusted_proxies)
        origins = AppOrigins(settings.app_domain, settings.public_url)
        self._app_hosts = AppHosts(origins, trusted_proxies, settings.public_url)
        self._tracing = create_tracing(trusted_proxies)
        self._access_log = AccessLog(trusted_proxies) if settings.access_log else None
        self._log = log.get("gateway")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._handle_request(scope, receive, send)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._watcher.load()
        self._readiness.accept_loaded_table()
        async with asyncio.TaskGroup() as tasks:
            coroutines = [
                self._watcher.run(),
                self._watcher.serve_refreshes(),
                self._load_reporter.run(),
                self._pool.close_idle_periodically(),
                self._metrics.flush_periodically(),
            ]
            if self._access_log is not None:
                coroutines.append(self._access_log.run())
            background = [tasks.create_task(coroutine) for coroutine in coroutines]
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for task in background:
                task.cancel()
        self._pool.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request.from_scope(scope)
        span = self._tracing.start_span(request) if self._tracing is not None else None
        log.request_id.set(request.id)
        if (traceparent := request.by_name.get(b"traceparent")) is not None:
            log.traceparent.set(traceparent.decode("latin-1"))
        response, started = ResponseWriter(send, request.id), time.perf_counter()
        try:
            await self._respond(request, receive, response)
        except ClientDisconnected:
            self._log.debug("Client disconnected", path=request.raw_path)
        except asyncio.CancelledError:
            if request.access_watch is None or request.access_watch.refusal is None:
                raise
            _uncancel_task()
            await self._send_error(request.access_watch.refusal, request, response)
        except MeshError as error:
            await self._send_error(error, request, response)
        except Exception as error:  # noqa: BLE001  a bug: the caller gets the request id, the log the traceback
            self._log.error("Request crashed in the gateway", path=request.raw_path, exc_info=error)
            await self._send_error(MeshError(), request, response)
        finally:
            if request.access_watch is not None:
                request.access_watch.stop()
            elapsed = time.perf_counter() - started
            self._metrics.count_request(request.method, response.status, elapsed)
            if self._tracing is not None:
                self._tracing.end_span(span, response)
            if self._access_log is not None:
                self._access_log.record(request, response, elapsed)

    async def _send_error(self, error: MeshError, request: Request, response: ResponseWriter) -> None:
        """Send the error, as a page to browsers. A response that has started can only be aborted."""
        if response.status:
            self._log.warning("Response aborted after it had started", path=request.raw_path, error=error.detail)
        elif request.wants_html:
            page = html_pages.render_error(error, request.id, self._settings.public_url, request.raw_path)
            await response.send_error_page(error, page)
        else:
            await response.send_error(error)

    async def _respond(self, request: Request, receive: Receive, response: ResponseWriter) -> None:
        route = parse_path(request.raw_path)
        table = self._watcher.table
        response.oip_errors = is_model = route is not None and route.kind == "v2"
        if (
            route is not None
            and route.ns
            and route.kind != "hooks"
            and not table.has_route(route.ns, route.path, is_model=is_model)
        ):
            table = await self._watcher.refresh()  # an app or instance may be newer than this copy of the table
        request.own_app = self._app_hosts.find_app(table, request)
        if await self._app_hosts.redirect(table, route, request, response):
            return
        if route is None:
            await self._endpoints.show_home(request, response)
            return
        if origins := cors.get_allowed_origins(table, route, request):
            response.cors_headers = cors.build_response_headers(origins, request.by_name.get(cors.ORIGIN))
            if cors.is_preflight(request):
                await response.send_preflight(cors.build_preflight_headers(origins, request))
                return
        if not route.path:
            check_method(route.kind, request.method)
        if route.kind in GATEWAY_ENDPOINTS:
            await self._endpoints.handle(route.kind, request, response)
            return
        try:
            await self._dispatcher.handle(table, route, request, receive, response)
        except InvalidAppCredentials:
            table = await self._auth_refresh.wait_for_update(table, route.ns, request)
            await self._dispatcher.handle(table, route, request, receive, response)


def _uncancel_task() -> None:
    """This task goes on: not the server canceled it."""
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
