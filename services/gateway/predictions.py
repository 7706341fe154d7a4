"""A prediction: admitted, held while its component wakes, passed on to an instance with what that may know."""

from __future__ import annotations

import time

from starlette.types import Receive

from libs.common.errors import MeshError, Unavailable
from libs.common.identity import USER
from libs.common.settings import Settings
from services.gateway.answer import Answer
from services.gateway.auth import ANONYMOUS
from services.gateway.balance import Balance, Turn
from services.gateway.call import Call, Hop
from services.gateway.cold import Cold
from services.gateway.connection import Headers
from services.gateway.demand import Demand
from services.gateway.grants import GRANT, MARGIN_S, Grant, Seal
from services.gateway.metrics import Metrics
from services.gateway.proxy import Proxy
from services.gateway.rate import Rates
from services.gateway.request import CREDENTIALS, TIMEOUT, Body, Proxies, Request
from services.gateway.table import Api, App, Component, Endpoint

PREDICT_MARGIN_S = 2.0
"""The component's own deadline comes first, because its answer says more."""
USER_HEADER = USER.lower().encode()
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
        measured, began, status = self._metrics.of(app.ns, component.name), time.perf_counter(), 0
        measured.begin()
        if component.scales:
            self._demand.begin(app.ns, component)
        try:
            await self._admitted(app, api, component, user, request, Body(request, receive, self._limit), answer)
        except MeshError as error:
            status = error.status
            raise
        finally:
            if component.scales:
                self._demand.end(app.ns, component)
            measured.end(answer.status or status, time.perf_counter() - began)

    async def _admitted(
        self, app: App, api: Api, component: Component, user: str, request: Request, body: Body, answer: Answer
    ) -> None:
        within = min(component.timeout, request.patience)
        if component.wakes_within is not None:
            began = time.perf_counter()
            component = await self._cold.awake(app.ns, component, body, request.patience)
            waited = time.perf_counter() - began
            answer.took("cold", waited)
            self._metrics.cold(app.ns, component.name)
            within = min(component.timeout, request.patience - waited)
        await self._to_instance(app, api, component, user, request, body, answer, within)

    async def _to_instance(
        self, app: App, api: Api, component: Component, user: str, request: Request, body: Body, answer: Answer,
        within: float,
    ) -> None:  # fmt: skip
        hops = Instances(self._balance.turn(component))
        headers = [*self._proxies.passed_on(request, PREDICTION), *self._caller(app, api, component, user)]
        if TIMEOUT in request.by_name:
            headers.append((TIMEOUT, b"%.3f" % within))
        call = Call(
            name=component.name,
            method="POST",
            target=request.target("/predict"),
            headers=headers,
            hops=hops,
            nowhere=lambda: asleep(component),
            answer_within=within + PREDICT_MARGIN_S,
            whole=True,
        )
        await self._proxy.forward(call, body, answer)

    def _caller(self, app: App, api: Api, component: Component, user: str) -> Headers:
        found = [(USER_HEADER, user.encode())] if api.identity else []
        if component.boxes and user != ANONYMOUS:
            expires = time.time() + component.timeout + MARGIN_S
            found.append((GRANT, self._seal.sealed(Grant(app.ns, user, component.boxes, expires)).encode()))
        return found


class Instances:
    """A component's instances as places for a call."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.answered, self.failed, self.close = turn.answered, turn.failed, turn.close

    def next(self) -> Hop | None:
        one = self._turn.next()
        return Hop((one.host, one.port), [token(one)]) if one is not None else None


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
