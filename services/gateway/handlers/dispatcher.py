"""Dispatches a request to the handler of its kind of route."""

from __future__ import annotations

from starlette.types import Receive

from libs.common.settings import Settings
from libs.common.signed_tokens import GrantSigner
from services.gateway.auth.authenticator import Authenticator
from services.gateway.auth.tokens import TokenVerifier
from services.gateway.handlers.app_api import AppApiHandler
from services.gateway.handlers.component_docs import ComponentDocs
from services.gateway.handlers.files import FilesHandler
from services.gateway.handlers.open_inference import OpenInferenceHandler
from services.gateway.handlers.passthrough import PassthroughHandler
from services.gateway.handlers.platform_api import PlatformApiHandler
from services.gateway.handlers.runs import RunsHandler
from services.gateway.handlers.service_forwarder import ServiceForwarder
from services.gateway.http_errors import NoLiveApp
from services.gateway.internal_client import InternalServices
from services.gateway.metrics import Metrics
from services.gateway.predict.activator import Activator
from services.gateway.predict.handler import PredictionHandler
from services.gateway.predict.load_reporter import LoadReporter
from services.gateway.proxy.connection_pool import ConnectionPool
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.proxy.reverse_proxy import ReverseProxy
from services.gateway.routing.paths import Route
from services.gateway.routing.route_table import RouteTable


class Dispatcher:
    """Builds the handlers, and calls the one for a route; routes of an app get the app from the route table."""

    def __init__(
        self,
        settings: Settings,
        pool: ConnectionPool,
        services: InternalServices,
        tokens: TokenVerifier,
        load_reporter: LoadReporter,
        activator: Activator,
        metrics: Metrics,
    ) -> None:
        proxy, trusted_proxies = ReverseProxy(pool), TrustedProxies(settings.trusted_proxies)
        grant_signer = GrantSigner(settings.internal_token)
        authenticator = Authenticator(tokens, trusted_proxies, settings.public_url)
        predictions = PredictionHandler(
            settings, proxy, trusted_proxies, grant_signer, load_reporter, activator, metrics
        )
        forwarder = ServiceForwarder(proxy, trusted_proxies)
        platform_api = PlatformApiHandler(services, forwarder, tokens, trusted_proxies, settings.body_limit)
        passthrough = PassthroughHandler(services, forwarder, settings.file_limit)
        self._service_handlers = {
            "api": platform_api.handle,
            "hooks": passthrough.handle,
            "git": passthrough.handle,
            "links": passthrough.handle,
        }
        self._app_handlers = {
            "runs": RunsHandler(services.scheduler, forwarder, authenticator, settings.body_limit).handle,
            "files": FilesHandler(services.databox, forwarder, authenticator, grant_signer, settings.file_limit).handle,
            "v2": OpenInferenceHandler(authenticator, predictions, settings.body_limit).handle,
        }
        docs = ComponentDocs(pool, settings.public_url)
        self._handle_app_api = AppApiHandler(
            settings, services.scheduler, forwarder, authenticator, grant_signer, predictions, docs
        ).handle

    async def handle(
        self, table: RouteTable, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        """Raises NoLiveApp, and what the handler raises."""
        if (handle_by_service := self._service_handlers.get(route.kind)) is not None:
            await handle_by_service(route, request, receive, response)
            return
        app = table.apps.get(route.ns)
        if app is None:
            raise NoLiveApp(route.ns)
        handle = self._app_handlers.get(route.kind, self._handle_app_api)
        await handle(app, route, request, receive, response)
