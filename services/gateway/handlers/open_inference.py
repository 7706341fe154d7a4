"""The Open Inference Protocol at an app's address: which server this is, and its models, the published components."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Receive

from libs.common.errors import Forbidden, NotFound, Unauthorized
from services.gateway.auth.authenticator import Auth
from services.gateway.http_errors import WrongMethod
from services.gateway.predict.handler import Asked, Predictions, asleep, component_of
from services.gateway.proxy.content_encoding import unpacked
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import Answer
from services.gateway.routing.paths import Route
from services.gateway.routing.route_table import Api, App, Component

VERSION = "/versions/1"
EXTENSIONS = ["binary_tensor_data"]


class Inference:
    def __init__(self, auth: Auth, predictions: Predictions, limit: int | None) -> None:
        self._auth = auth
        self._predictions = predictions
        self._limit = limit

    async def handle(self, app: App, route: Route, request: Request, receive: Receive, answer: Answer) -> None:
        """Server and health ask for no credentials: they say nothing about the app."""
        rest = route.rest.rstrip("/")
        methods = ("POST",) if rest.endswith("/infer") else ("GET", "HEAD")
        if request.method not in methods:
            raise WrongMethod(methods)
        if route.path:
            await self._model(app, route.path, rest.removeprefix(VERSION), request, receive, answer)
        elif rest == "":
            await answer.json({"name": "mlmesh", "version": "2", "extensions": EXTENSIONS})
        elif rest == "/health/live":
            await answer.json({"live": True})
        elif rest == "/health/ready":
            for api in (found for apis in app.models.values() for found in apis):
                _check_ready(component_of(app, api))
            await answer.json({"ready": True})
        else:
            raise NotFound()

    async def _model(self, app: App, name: str, what: str, request: Request, receive: Receive, answer: Answer) -> None:
        api, user = await self._published(app, name, request)
        request.user = user
        component = component_of(app, api)
        if what not in ("", "/ready", "/infer") or component.own_routes:
            raise NotFound()
        if what == "/ready":
            _check_ready(component)
            await answer.json({"name": name, "ready": True})
            return
        body = unpacked(request, receive, self._limit)
        target = f"/v2/models/{quote(component.name, safe='')}{what}"
        await self._predictions.handle(Asked(app, api, component, user, request, body, target), answer)

    async def _published(self, app: App, name: str, request: Request) -> tuple[Api, str]:
        """The first API of this model that lets the caller in."""
        refused: Exception = NotFound(f"there is no model {name!r}")
        for api in app.models.get(name, ()):
            try:
                return api, await self._auth.of_api(app, api, request)
            except (Unauthorized, Forbidden) as error:
                refused = error
        raise refused


def _check_ready(component: Component) -> None:
    """One that sleeps is ready: a call wakes it. Raises Unavailable."""
    if not component.endpoints and component.wakes_within is None:
        raise asleep(component)
