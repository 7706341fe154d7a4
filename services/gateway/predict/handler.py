"""Handles a prediction: rate limit, cold start, choice of an instance, headers for the instance, metrics."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace

from libs.common.errors import MeshError, Unavailable
from libs.common.http.client_network import get_client_network
from libs.common.identity import ANONYMOUS, HEADER_USER, OWNER_USER
from libs.common.protocol.route_table import Api, Endpoint
from libs.common.settings import Settings
from libs.common.signed_tokens import GRANT_HEADER, GRANT_MARGIN_S, Grant, GrantSigner
from services.gateway.metrics import Metrics
from services.gateway.predict.activator import Activator
from services.gateway.predict.load_balancer import Caller, InstancePicker, LoadBalancer
from services.gateway.predict.load_reporter import LoadReporter
from services.gateway.predict.rate_limiter import RateLimiter
from services.gateway.proxy.body import Body
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.proxy_call import ProxyCall, Upstream
from services.gateway.proxy.request import CREDENTIAL_HEADERS, TIMEOUT_HEADER, Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.proxy.reverse_proxy import ReverseProxy
from services.gateway.proxy.tunnel import UPGRADE_HEADERS
from services.gateway.proxy.upstream_connection import Headers
from services.gateway.routing.route_table import App, Component

PREDICT_MARGIN_S = 2.0
"""Added to the timeout, so that the component's own deadline comes first: its error says more."""
USER_HEADER = HEADER_USER.lower().encode()
OWNER_HEADER = (b"x-mlmesh-owner", b"1")
"""Marks a call of an owner or a worker: the component may then reveal the exception of its function."""
REPLACED_HEADERS = frozenset({TIMEOUT_HEADER})
"""Headers of the caller that the gateway sets anew."""
HEADERS_NOT_FORWARDED = CREDENTIAL_HEADERS | REPLACED_HEADERS


@dataclass(slots=True)
class PredictionRequest:
    """One authenticated call of a component."""

    app: App
    api: Api
    component: Component
    user: str
    request: Request
    body: Body
    target: str
    """The path at the instance, percent-encoded."""
    from_worker: bool = False
    """A worker performs an asynchronous prediction for the user."""


class PredictionHandler:
    def __init__(
        self,
        settings: Settings,
        proxy: ReverseProxy,
        trusted_proxies: TrustedProxies,
        grant_signer: GrantSigner,
        load_reporter: LoadReporter,
        activator: Activator,
        metrics: Metrics,
    ) -> None:
        self._rate_limiter = RateLimiter(settings.caller_rate)
        self._load_balancer = LoadBalancer()
        self._proxy = proxy
        self._trusted_proxies = trusted_proxies
        self._grant_signer = grant_signer
        self._load_reporter = load_reporter
        self._activator = activator
        self._metrics = metrics

    async def handle(self, prediction: PredictionRequest, response: ResponseWriter) -> None:
        ns, component, caller = prediction.app.ns, prediction.component, self._get_caller(prediction)
        self._rate_limiter.check(*caller)
        stats, started, status = self._metrics.get_component(ns, component.name), time.perf_counter(), 0
        stats.start_call()
        if prediction.request.own_app != ns:
            response.cookie_folder = f"/{ns}".encode()
            response.is_sandboxed = component.is_web_app or prediction.request.accepts_html
        if component.scales:
            self._load_reporter.start_call(ns, component)
        try:
            await self._predict(prediction, caller, response)
        except MeshError as error:
            status = error.status
            raise
        finally:
            if component.scales:
                self._load_reporter.end_call(ns, component)
            stats.end_call(
                response.status or status, time.perf_counter() - started, response.queue_seconds, response.batch_size
            )

    async def _predict(self, prediction: PredictionRequest, caller: Caller, response: ResponseWriter) -> None:
        component, client_timeout = prediction.component, prediction.request.client_timeout
        # a slow upload must not occupy a slot of the component; a web application may stream a long body
        await prediction.body.prefetch(until_full=not component.is_web_app or prediction.body.is_small)
        if component.cold_start_timeout is not None:
            started = time.perf_counter()
            component = await self._activator.wait_until_ready(caller, component, prediction.body, client_timeout)
            waited = time.perf_counter() - started
            response.add_timing(b"cold", waited)
            self._metrics.get_component(prediction.app.ns, component.name).cold_starts += 1
            prediction, client_timeout = replace(prediction, component=component), client_timeout - waited
        await self._forward_to_instance(prediction, caller, response, min(component.timeout, client_timeout))

    def _get_caller(self, prediction: PredictionRequest) -> Caller:
        """The app and the user, or the network of an anonymous client: what rates and concurrency are counted for."""
        if prediction.user != ANONYMOUS:
            return prediction.app.ns, prediction.user
        return prediction.app.ns, get_client_network(self._trusted_proxies.get_client_address(prediction.request))

    async def _forward_to_instance(
        self, prediction: PredictionRequest, caller: Caller, response: ResponseWriter, timeout: float
    ) -> None:
        component, is_web_app = prediction.component, prediction.component.is_web_app
        call = ProxyCall(
            name=component.name,
            method=prediction.request.method,
            target=prediction.request.build_target(prediction.target),
            headers=self._build_headers(prediction, timeout),
            candidates=InstanceCandidates(self._load_balancer.admit_call(component, caller)),
            no_upstream_error=lambda: no_instance_error(component),
            response_timeout=timeout + PREDICT_MARGIN_S,
            bounded_response=not is_web_app,
            take_transport=prediction.request.take_transport if is_web_app else None,
        )
        await self._proxy.forward(call, prediction.body, response)

    def _build_headers(self, prediction: PredictionRequest, timeout: float) -> Headers:
        is_web_app, request = prediction.component.is_web_app, prediction.request
        dropped = REPLACED_HEADERS if is_web_app and prediction.api.auth.is_open else HEADERS_NOT_FORWARDED
        headers = [
            *self._trusted_proxies.build_upstream_headers(request, dropped),
            *self._build_caller_headers(prediction),
        ]
        if TIMEOUT_HEADER in request.by_name:
            headers.append((TIMEOUT_HEADER, b"%.3f" % timeout))
        if is_web_app:
            headers.append((b"x-forwarded-prefix", f"/{prediction.app.ns}/{prediction.api.path}".encode()))
            if request.take_transport is not None:
                headers.extend(UPGRADE_HEADERS)
        return headers

    def _build_caller_headers(self, prediction: PredictionRequest) -> Headers:
        app, component, user = prediction.app, prediction.component, prediction.user
        headers = [(USER_HEADER, user.encode())] if prediction.api.identity else []
        if user == OWNER_USER or prediction.from_worker:
            headers.append(OWNER_HEADER)
        if component.boxes and user != ANONYMOUS:
            expires = time.time() + component.timeout + GRANT_MARGIN_S
            headers.append(
                (GRANT_HEADER, self._grant_signer.sign(Grant(app.ns, user, component.boxes, expires)).encode())
            )
        return headers


class InstanceCandidates:
    """The instances of a component as upstream candidates."""

    def __init__(self, picker: InstancePicker) -> None:
        self._picker = picker
        self.record_success, self.record_failure, self.close = (
            picker.record_success,
            picker.record_failure,
            picker.close,
        )

    def pick_next(self) -> Upstream | None:
        endpoint = self._picker.pick_next()
        return (
            Upstream((endpoint.host, endpoint.port), [build_token_header(endpoint)]) if endpoint is not None else None
        )


def get_component(app: App, api: Api) -> Component:
    return app.find_component(api) or Component(api.name or "", 30.0, 1, (), ())


def no_instance_error(component: Component) -> Unavailable:
    members = {"reason": asdict(component.reason)} if component.reason else {}
    detail = f"no instance of {component.name} is available"
    return Unavailable(detail, retry_after=1.0, **members)


def build_token_header(endpoint: Endpoint) -> tuple[bytes, bytes]:
    """The secret by which an instance recognises the gateway."""
    return (b"x-mlmesh-token", endpoint.token.encode())
