"""`/{ns}/files`: a user's files, forwarded to databox. Callers authenticate, or a component shows a user's grant."""

from __future__ import annotations

import time
from urllib.parse import quote

from starlette.types import Receive

from libs.common.errors import Forbidden
from libs.common.identity import HEADER_SCOPES, HEADER_USER
from libs.common.signed_tokens import GRANT_HEADER, GrantSigner
from services.gateway.auth.authenticator import Authenticator
from services.gateway.handlers.service_forwarder import ServiceForwarder, encode_header
from services.gateway.http_errors import InvalidAppCredentials
from services.gateway.internal_client import InternalService
from services.gateway.proxy.body import Body
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.routing.paths import FILES_PATH, Route
from services.gateway.routing.route_table import App


class FilesHandler:
    def __init__(
        self,
        databox: InternalService,
        forwarder: ServiceForwarder,
        authenticator: Authenticator,
        grant_signer: GrantSigner,
        file_limit: int | None,
    ) -> None:
        self._databox = databox
        self._forwarder = forwarder
        self._authenticator = authenticator
        self._grant_signer = grant_signer
        self._file_limit = file_limit

    async def handle(
        self, app: App, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        grant = request.by_name.get(GRANT_HEADER)
        if grant is not None:
            user, can_write = self._check_grant(grant.decode("latin-1"), app, route), True
        else:
            user = request.user = await self._authenticator.authenticate_files(app, request)
            can_write = await self._authenticator.can_write_files(app, request)
        path = f"{FILES_PATH.format(ns=app.ns, user=quote(user, safe=''))}/{route.suffix}"
        scope = f"{'write' if can_write else 'read'}:{app.ns}"
        identity = [encode_header(HEADER_USER, user), encode_header(HEADER_SCOPES, scope)]
        response.is_sandboxed = True  # files are users', not the app's
        body = Body(request, receive, self._file_limit)
        await self._forwarder.forward(self._databox, request, path, identity, body, response)

    def _check_grant(self, text: str, app: App, route: Route) -> str:
        """The user of the grant. Raises InvalidAppCredentials, Forbidden."""
        grant = self._grant_signer.verify(text, time.time())
        if grant is None or grant.app != app.ns:
            raise InvalidAppCredentials(app.ns)
        if route.box not in grant.boxes:
            raise Forbidden(f"the grant does not reach the box {route.box!r}")
        return grant.user
