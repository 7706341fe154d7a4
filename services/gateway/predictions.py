"""A prediction: admitted, held while its component wakes, passed on to an instance with what that may know."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing

from starlette.types import Receive

from libs.common.errors import Unavailable
from libs.common.identity import USER
from libs.common.settings import Settings
from services.gateway.answer import Answer
from services.gateway.auth import ANONYMOUS
from services.gateway.balance import Balance
from services.gateway.cold import Cold
from services.gateway.connection import Headers
from services.gateway.demand import Demand
from services.gateway.grants import GRANT, MARGIN_S, Grant, Seal
from services.gateway.metrics import Metrics
from services.gateway.proxy import Call, Hop, Proxy
from services.gateway.rate import Rates
from services.gateway.request import CREDENTIALS, TIMEOUT, Body, Proxies, Request
from services.gateway.table import Api, App, Component, Endpoint

PREDICT_MARGIN_S = 2.0
"""The component's own deadline comes first, because its answer says more."""
PREDICTION = CREDENTIALS | {TIMEOUT}


class Predictions:
    def __init__(
        self, settings: Settings, proxy: Proxy, proxies: Proxies, seal: Seal, demand: Demand, cold: Cold,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self._limit = settings.body_limit
        self._rates = Rates(settings.caller_rate)
        self._balance = Balance()
        self._proxy = proxy
        self._proxies = proxies
        self._seal = seal
        self._demand = demand
        self._cold = cold
        self._metrics = metrics

    async def handle(self, app: App, api: Api, user: str, request: Request, receive: Receive, answer: Answer) -> None:
        component = component_of(app, api)
        self._rates.check(app.ns, user if user != ANONYMOUS else request.peer)
        body = Body(request, receive, self._limit)
        with self._demand.call(app.ns, component), self._metrics.prediction(app.ns, component.name, answer) as measured:
            awake = await self._cold.awake(app.ns, component, body, request.patience)
            if awake is not component:
                answer.took("cold", measured.seconds)
                self._metrics.cold(app.ns, component.name)
            left = min(component.timeout, request.patience - measured.seconds)
            await self._to_instance(app, api, awake, user, request, body, answer, left)

    async def _to_instance(
        self, app: App, api: Api, component: Component, user: str, request: Request, body: Body, answer: Answer,
        within: float,
    ) -> None:  # fmt: skip
        self._balance.check(component)
        headers = [*self._proxies.passed_on(request, PREDICTION), *self._caller(app, api, component, user)]
        if TIMEOUT in request.by_name:
            headers.append((TIMEOUT, b"%.3f" % within))
        call = Call(
            name=component.name,
            method="POST",
            target=request.target("/predict"),
            headers=headers,
            hops=lambda: self._instances(component),
            nowhere=asleep(component),
            answer_within=within + PREDICT_MARGIN_S,
            whole=True,
        )
        await self._proxy.forward(call, body, answer)

    def _caller(self, app: App, api: Api, component: Component, user: str) -> Headers:
        found = [(USER.lower().encode(), user.encode())] if api.identity else []
        if component.boxes and user != ANONYMOUS:
            expires = time.time() + component.timeout + MARGIN_S
            found.append((GRANT, self._seal.sealed(Grant(app.ns, user, component.boxes, expires)).encode()))
        return found

    def _instances(self, component: Component) -> Generator[Hop, None, None]:
        with closing(self._balance.endpoints(component)) as picks:
            for pick in picks:
                one = pick.endpoint
                yield Hop((one.host, one.port), [token(one)], pick)


def component_of(app: App, api: Api) -> Component:
    component = app.components.get(api.name or "")
    return component or Component(api.name or "", 30.0, 1, (), ())


def asleep(component: Component) -> Unavailable:
    members = {"reason": component.reason} if component.reason else {}
    detail = f"no instance of {component.name} can take this at the moment"
    return Unavailable(detail, retry_after=1.0, **members)


def token(one: Endpoint) -> tuple[bytes, bytes]:
    """What only the gateway can show an instance."""
    return (b"x-mlmesh-token", one.token.encode())
