"""The gateway's own endpoints: health, readiness, metrics, documentation of the platform, and home pages."""

from __future__ import annotations

import hmac
from urllib.parse import unquote

from prometheus_client import CONTENT_TYPE_LATEST

from libs.common.errors import NotFound
from libs.common.settings import Settings
from services.gateway.auth.authenticator import parse_credentials
from services.gateway.auth.tokens import TokenVerifier
from services.gateway.handlers.platform_docs import PlatformDocs
from services.gateway.http_errors import MissingCredentials, NoLiveApp
from services.gateway.metrics import Metrics
from services.gateway.pages import html_pages
from services.gateway.pages.local_visitors import is_local
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.readiness import Readiness
from services.gateway.routing.paths import Kind
from services.gateway.routing.table_watcher import TableWatcher

KINDS = frozenset({"healthz", "readyz", "metrics", "docs", "openapi"})


class GatewayEndpoints:
    def __init__(
        self,
        settings: Settings,
        watcher: TableWatcher,
        readiness: Readiness,
        metrics: Metrics,
        tokens: TokenVerifier,
        docs: PlatformDocs,
    ) -> None:
        self._url = settings.public_url
        self._internal_token = settings.internal_token.encode()
        self._watcher = watcher
        self._readiness = readiness
        self._metrics = metrics
        self._tokens = tokens
        self._docs = docs

    async def handle(self, kind: Kind, request: Request, response: ResponseWriter) -> None:
        """`kind` is one of `KINDS`."""
        match kind:
            case "healthz":
                await response.send_json({"status": "ok"})
            case "readyz":
                report = await self._readiness.build_report()
                await response.send_json(report, 200 if report["ready"] else 503)
            case "metrics":
                await self._check_metrics_access(request)
                content = self._metrics.render(self._watcher.table)
                await response.send(200, content, {"Content-Type": CONTENT_TYPE_LATEST})
            case "docs":
                await response.send_html(html_pages.render_operations(await self._docs.build_document()))
            case _:
                await response.send_json(await self._docs.build_document())

    async def show_home(self, request: Request, response: ResponseWriter) -> None:
        """`/` and `/{ns}` in a browser: what runs here. Raises NotFound for other paths and clients."""
        show_all = is_local(request, self._url)
        segments = unquote(request.raw_path).strip("/").split("/")
        table = self._watcher.table
        if not request.wants_html or len(segments) > 1:
            raise NotFound()
        if not segments[0]:
            await response.send_html(html_pages.render_home(table, self._url, show_all=show_all))
            return
        if segments[0] not in table.apps:
            table = await self._watcher.refresh()
        if segments[0] not in table.apps:
            raise NoLiveApp(segments[0])
        await response.send_html(html_pages.render_app(table.apps[segments[0]], self._url, show_all=show_all))

    async def _check_metrics_access(self, request: Request) -> None:
        """Metrics name all apps, so the token must be allowed to read all. Raises MissingCredentials, Forbidden."""
        bearer = parse_credentials(request.by_name).bearer
        if bearer is None:
            raise MissingCredentials()
        if not hmac.compare_digest(bearer.encode(), self._internal_token):
            (await self._tokens.verify(bearer)).require_scope("read")
