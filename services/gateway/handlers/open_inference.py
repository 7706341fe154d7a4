"""`/{ns}/v2`: the Open Inference Protocol. An app is a server, its published components are the models."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Receive

from libs.common.errors import Forbidden, NotFound, Unauthorized
from libs.common.protocol.route_table import Api
from services.gateway.auth.authenticator import Authenticator
from services.gateway.http_errors import WrongMethod
from services.gateway.predict.handler import PredictionHandler, PredictionRequest, get_component, no_instance_error
from services.gateway.proxy.content_encoding import decode_body
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.routing.paths import Route
from services.gateway.routing.route_table import App, Component

VERSION_SUFFIX = "/versions/1"
EXTENSIONS = ["binary_tensor_data"]


class OpenInferenceHandler:
    def __init__(self, authenticator: Authenticator, predictions: PredictionHandler, limit: int | None) -> None:
        self._authenticator = authenticator
        self._predictions = predictions
        self._limit = limit

    async def handle(
        self, app: App, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        """Server metadata and health need no credentials: they reveal nothing about the app."""
        path = route.suffix.rstrip("/")
        methods = ("POST",) if path.endswith("/infer") else ("GET", "HEAD")
        if request.method not in methods:
            raise WrongMethod(methods)
        if route.path:
            await self._handle_model(app, route.path, path.removeprefix(VERSION_SUFFIX), request, receive, response)
        elif path == "":
            await response.send_json({"name": "mlmesh", "version": "2", "extensions": EXTENSIONS})
        elif path == "/health/live":
            await response.send_json({"live": True})
        elif path == "/health/ready":
            for apis in app.models.values():
                for api in apis:
                    _check_ready(get_component(app, api))
            await response.send_json({"ready": True})
        else:
            raise NotFound()

    async def _handle_model(
        self, app: App, name: str, action: str, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        api, user = await self._authenticate_model(app, name, request)
        request.user = user
        component = get_component(app, api)
        if action not in ("", "/ready", "/infer") or component.is_web_app:
            raise NotFound()
        if action == "/ready":
            _check_ready(component)
            await response.send_json({"name": name, "ready": True})
            return
        body = decode_body(request, receive, self._limit)
        target = f"/v2/models/{quote(component.name, safe='')}{action}"
        await self._predictions.handle(PredictionRequest(app, api, component, user, request, body, target), response)

    async def _authenticate_model(self, app: App, name: str, request: Request) -> tuple[Api, str]:
        """The first API of this model that accepts the caller's credentials, and the user there."""
        refusal: Exception = NotFound(f"there is no model {name!r}")
        for api in app.models.get(name, ()):
            try:
                return api, await self._authenticator.authenticate_api(app, api, request)
            except (Unauthorized, Forbidden) as error:
                refusal = error
        raise refusal


def _check_ready(component: Component) -> None:
    """A component scaled to zero is ready: a call starts it. Raises Unavailable."""
    if not component.endpoints and component.cold_start_timeout is None:
        raise no_instance_error(component)
