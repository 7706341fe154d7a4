"""Forwards requests to the internal services, with the gateway's own credentials."""

from __future__ import annotations

from libs.common.errors import Unavailable
from services.gateway.internal_client import InternalService
from services.gateway.proxy.body import Body
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.proxy_call import ProxyCall, SingleUpstream, Upstream
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.proxy.reverse_proxy import ReverseProxy
from services.gateway.proxy.upstream_connection import Headers

SERVICE_TIMEOUT_S = 120.0


class ServiceForwarder:
    def __init__(self, proxy: ReverseProxy, trusted_proxies: TrustedProxies) -> None:
        self._proxy = proxy
        self._trusted_proxies = trusted_proxies

    async def forward(
        self,
        service: InternalService,
        request: Request,
        path: str,
        identity: Headers,
        body: Body,
        response: ResponseWriter,
    ) -> None:
        """Forward `request` to `path` of a service; `identity` are the headers that name the caller there."""
        call = ProxyCall(
            name=service.name,
            method=request.method,
            target=request.build_target(path),
            headers=[
                *self._trusted_proxies.build_upstream_headers(request),
                (b"authorization", service.authorization),
                *identity,
            ],
            candidates=SingleUpstream(Upstream(service.address, [])),
            no_upstream_error=lambda: Unavailable(f"{service.name} cannot be reached"),
            response_timeout=SERVICE_TIMEOUT_S,
            is_internal=True,
        )
        await self._proxy.forward(call, body, response)


def encode_header(name: str, value: str) -> tuple[bytes, bytes]:
    return (name.lower().encode(), value.encode())
