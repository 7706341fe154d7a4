"""The gateway as a pure ASGI application."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import unquote

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common import log
from libs.common.bus import Bus
from libs.common.disk import Disk
from libs.common.errors import MeshError, NotFound
from libs.common.settings import Settings
from services.gateway.access_log import AccessLog
from services.gateway.auth.auth_refresh import Strangers
from services.gateway.handlers.dispatcher import Handlers
from services.gateway.http_errors import NotACaller, NothingLive
from services.gateway.internal_client import Services
from services.gateway.metrics import Metrics
from services.gateway.pages import html_pages, openapi
from services.gateway.pages.local_visitors import is_local
from services.gateway.predict.activator import Cold
from services.gateway.predict.load_reporter import Demand
from services.gateway.proxy.connection_pool import Pool
from services.gateway.proxy.forwarded import Proxies
from services.gateway.proxy.request import Gone, Request
from services.gateway.proxy.response_writer import Answer
from services.gateway.readiness import Readiness
from services.gateway.routing import cors
from services.gateway.routing.paths import Route, allow, route
from services.gateway.routing.table_watcher import Watch
from services.gateway.tracing import tracing


def create(settings: Settings, bus: Bus | None = None) -> ASGIApp:
    """The gateway; it has no use for the bus."""
    return Gateway(settings)


class Gateway:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = Pool()
        services = Services(self._pool, settings)
        self._watch = Watch(services.scheduler, settings.data / "gateway" / "table.json")
        self._metrics = Metrics()
        self._demand = Demand(services.scheduler)
        cold = Cold(self._watch, self._demand)
        self._handlers = Handlers(settings, self._pool, services, self._demand, cold, self._metrics)
        self._strangers = Strangers(self._watch)
        self._readiness = Readiness(self._watch, services, Disk(settings.data, settings.disk_reserve))
        proxies = Proxies(settings.trusted_proxies)
        self._tracing = tracing(proxies)
        self._access = AccessLog(proxies) if settings.access_log else None
        self._log = log.get("gateway")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._watch.load()
        self._readiness.loaded()
        async with asyncio.TaskGroup() as tasks:
            work = [
                self._watch.run(),
                self._watch.look(),
                self._demand.run(),
                self._pool.sweep(),
                self._metrics.share(),
            ]
            if self._access is not None:
                work.append(self._access.run())
            background = [tasks.create_task(one) for one in work]
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for task in background:
                task.cancel()
        self._pool.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        span = self._tracing.begin(request) if self._tracing is not None else None
        log.request_id.set(request.id)
        if (traceparent := request.by_name.get(b"traceparent")) is not None:
            log.traceparent.set(traceparent.decode("latin-1"))
        answer, began = Answer(send, request.id), time.perf_counter()
        try:
            await self._answer(request, receive, answer)
        except Gone:
            self._log.debug("the caller hung up", path=request.raw_path)
        except MeshError as error:
            await self._failed(error, request, answer)
        except Exception as error:  # noqa: BLE001  a defect: the caller gets the request id, the log the traceback
            self._log.error("a request failed", path=request.raw_path, exc_info=error)
            await self._failed(MeshError(), request, answer)
        finally:
            took = time.perf_counter() - began
            self._metrics.count(request.method, answer.status, took)
            if self._tracing is not None:
                self._tracing.end(span, answer)
            if self._access is not None:
                self._access.note(request, answer, took)

    async def _failed(self, error: MeshError, request: Request, answer: Answer) -> None:
        """Once the answer has started only cutting it off can tell the caller."""
        if answer.status:
            self._log.warning("an answer was cut off", why=error.detail)
        elif request.visits:
            page = html_pages.refusal(error, request.id, self._settings.public_url, request.raw_path)
            await answer.refuse_visitor(error, page)
        else:
            await answer.refuse(error)

    async def _answer(self, request: Request, receive: Receive, answer: Answer) -> None:
        found = route(request.raw_path)
        if found is None:
            await self._visited(request, answer)
            return
        answer.tensors = found.kind == "v2"
        table = self._watch.table
        if found.ns and found.kind != "hooks" and not table.has(found.ns, found.path, model=answer.tensors):
            table = await self._watch.fresh()  # never refused for news that are on their way
        if origins := cors.origins(table, found):
            answer.cors = cors.headers(origins, request.by_name.get(cors.ORIGIN))
            if cors.is_preflight(request):
                await answer.permit(cors.permission(origins, request))
                return
        if not found.path:
            allow(found.kind, request.method)
        if not await self._own(found, request, answer):
            try:
                await self._handlers.handle(table, found, request, receive, answer)
            except NotACaller:
                table = await self._strangers.news(table, found.ns, request)
                await self._handlers.handle(table, found, request, receive, answer)

    async def _visited(self, request: Request, answer: Answer) -> None:
        """`/` and `/{ns}` in a browser: what runs here. Raises NotFound for all else."""
        url = self._settings.public_url
        everything = is_local(request, url)
        segments = unquote(request.raw_path).strip("/").split("/")
        table = self._watch.table
        if not request.visits or len(segments) > 1:
            raise NotFound()
        if not segments[0]:
            await answer.page(html_pages.home(table, url, everything=everything))
            return
        if segments[0] not in table.apps:
            table = await self._watch.fresh()
        if segments[0] not in table.apps:
            raise NothingLive(segments[0])
        await answer.page(html_pages.of_app(table.apps[segments[0]], url, everything=everything))

    async def _own(self, found: Route, request: Request, answer: Answer) -> bool:
        match found.kind:
            case "healthz":
                await answer.json({"status": "ok"})
            case "readyz":
                report = await self._readiness.report()
                await answer.json(report, 200 if report["ready"] else 503)
            case "metrics":
                await self._handlers.check_may_measure(request)
                await answer.whole(200, self._metrics.text(self._watch.table), {"Content-Type": CONTENT_TYPE_LATEST})
            case "docs":
                await answer.page(html_pages.operations(openapi.platform(self._settings.public_url)))
            case "openapi":
                await answer.json(openapi.platform(self._settings.public_url))
            case _:
                return False
        return True
