"""A call of a component: admitted, held while it wakes, passed on to an instance with what that may know."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from libs.common.errors import MeshError, Unavailable
from libs.common.grants import GRANT, MARGIN_S, Grant, Seal
from libs.common.identity import ANONYMOUS, OWNER, USER
from libs.common.settings import Settings
from services.gateway.auth.password_throttle import network_of
from services.gateway.metrics import Metrics
from services.gateway.predict.activator import Cold
from services.gateway.predict.load_balancer import Balance, Caller, Turn
from services.gateway.predict.load_reporter import Demand
from services.gateway.predict.rate_limiter import Rates
from services.gateway.proxy.forwarded import Proxies
from services.gateway.proxy.proxy_call import Call, Hop
from services.gateway.proxy.request import CREDENTIALS, TIMEOUT, Body, Request
from services.gateway.proxy.response_writer import Answer
from services.gateway.proxy.reverse_proxy import Proxy
from services.gateway.proxy.tunnel import UPGRADE
from services.gateway.proxy.upstream_connection import Headers
from services.gateway.routing.route_table import Api, App, Component, Endpoint

PREDICT_MARGIN_S = 2.0
"""The component's own deadline comes first, because its answer says more."""
USER_HEADER = USER.lower().encode()
OF_OWNER = (b"x-mlmesh-owner", b"1")
"""Whom the component tells what its function raised."""
OURS_ALONE = frozenset({TIMEOUT})
"""Headers that an app with its own credentials does not get."""
NOT_ITS_BUSINESS = CREDENTIALS | OURS_ALONE


@dataclass(slots=True)
class Asked:
    """Who calls what."""

    app: App
    api: Api
    component: Component
    user: str
    request: Request
    body: Body
    target: str
    """The path at the instance, percent-encoded."""
    job: bool = False
    """A worker calls for the user; the scheduler knows whom it tells what."""


class Predictions:
    def __init__(
        self, settings: Settings, proxy: Proxy, proxies: Proxies, seal: Seal, demand: Demand, cold: Cold,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self._rates = Rates(settings.caller_rate)
        self._balance = Balance()
        self._proxy = proxy
        self._proxies = proxies
        self._seal = seal
        self._demand = demand
        self._cold = cold
        self._metrics = metrics

    async def handle(self, asked: Asked, answer: Answer) -> None:
        ns, component, caller = asked.app.ns, asked.component, self._caller_of(asked)
        self._rates.check(*caller)
        measured, began, status = self._metrics.of(ns, component.name), time.perf_counter(), 0
        measured.begin()
        if component.scales:
            self._demand.begin(ns, component)
        try:
            await self._admitted(asked, caller, answer)
        except MeshError as error:
            status = error.status
            raise
        finally:
            if component.scales:
                self._demand.end(ns, component)
            measured.end(answer.status or status, time.perf_counter() - began, answer.queued, answer.batch)

    async def _admitted(self, asked: Asked, caller: Caller, answer: Answer) -> None:
        component, patience = asked.component, asked.request.patience
        # a place is for who has sent the request; an application may want to read a long one while it comes
        await asked.body.begin(whole=not component.own_routes or asked.body.is_small)
        if component.wakes_within is not None:
            began = time.perf_counter()
            component = await self._cold.awake(caller, component, asked.body, patience)
            waited = time.perf_counter() - began
            answer.took(b"cold", waited)
            self._metrics.of(asked.app.ns, component.name).cold += 1
            asked, patience = replace(asked, component=component), patience - waited
        await self._to_instance(asked, caller, answer, min(component.timeout, patience))

    def _caller_of(self, asked: Asked) -> Caller:
        """Whom places and rates are counted for: a user, or the network of who did not say."""
        if asked.user != ANONYMOUS:
            return asked.app.ns, asked.user
        return asked.app.ns, network_of(self._proxies.caller(asked.request))

    async def _to_instance(self, asked: Asked, caller: Caller, answer: Answer, within: float) -> None:
        component, own = asked.component, asked.component.own_routes
        call = Call(
            name=component.name,
            method=asked.request.method,
            target=asked.request.target(asked.target),
            headers=self._headers(asked, within),
            hops=Instances(self._balance.turn(component, caller)),
            nowhere=lambda: asleep(component),
            answer_within=within + PREDICT_MARGIN_S,
            whole=not own,
            tunnel=asked.request.hand_over if own else None,
        )
        await self._proxy.forward(call, asked.body, answer)

    def _headers(self, asked: Asked, within: float) -> Headers:
        own, request = asked.component.own_routes, asked.request
        dropped = OURS_ALONE if own and asked.api.open else NOT_ITS_BUSINESS
        headers = [*self._proxies.passed_on(request, dropped), *self._caller(asked)]
        if TIMEOUT in request.by_name:
            headers.append((TIMEOUT, b"%.3f" % within))
        if own:
            headers.append((b"x-forwarded-prefix", f"/{asked.app.ns}/{asked.api.path}".encode()))
            if request.hand_over is not None:
                headers.extend(UPGRADE)
        return headers

    def _caller(self, asked: Asked) -> Headers:
        app, component, user = asked.app, asked.component, asked.user
        found = [(USER_HEADER, user.encode())] if asked.api.identity else []
        if user == OWNER or asked.job:
            found.append(OF_OWNER)
        if component.boxes and user != ANONYMOUS:
            expires = time.time() + component.timeout + MARGIN_S
            found.append((GRANT, self._seal.sealed(Grant(app.ns, user, component.boxes, expires)).encode()))
        return found


class Instances:
    """A component's instances as places for a call."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.answered, self.failed, self.close = turn.answered, turn.failed, turn.end

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
