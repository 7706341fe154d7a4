"""Forwarded headers (RFC 7239 and X-Forwarded-*): which proxies are trusted, and what goes to the upstream."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from libs.common.settings import BadSetting
from services.gateway.proxy.request import CREDENTIAL_HEADERS, Request
from services.gateway.proxy.upstream_connection import Headers

X_FORWARDED_FOR, FORWARDED = b"x-forwarded-for", b"forwarded"


class TrustedProxies:
    """The proxies whose forwarded headers are believed (`MLMESH_TRUSTED_PROXIES`)."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        try:
            self._networks = [ip_network(network, strict=False) for network in trusted]
        except ValueError as error:
            raise BadSetting(f"MLMESH_TRUSTED_PROXIES: {error}") from error
        self._trusts = lru_cache(maxsize=1024)(self._is_trusted)

    def build_upstream_headers(self, request: Request, without: frozenset[bytes] = CREDENTIAL_HEADERS) -> Headers:
        """The request's end-to-end headers, with forwarded headers and the request id."""
        headers = request.list_end_to_end_headers(without=without)
        return [*headers, *self.build_forwarded_headers(request), (b"x-request-id", request.id.encode())]

    def build_forwarded_headers(self, request: Request) -> Headers:
        host = request.by_name.get(b"host", b"")
        if not self._trusts_peer(request):
            return _build_origin_headers(request.peer, request.scheme, host)
        by_name = request.by_name
        proto = by_name.get(b"x-forwarded-proto") or request.scheme.encode()
        host = by_name.get(b"x-forwarded-host") or host
        last = _build_origin_headers(request.peer, proto.decode("latin-1"), host)
        previous = (_join_header_lines(request, X_FORWARDED_FOR), None, None, _join_header_lines(request, FORWARDED))
        return [
            (name, b"%b, %b" % (earlier, value) if earlier else value)
            for earlier, (name, value) in zip(previous, last, strict=True)
        ]

    def get_client_address(self, request: Request) -> str:
        """The client's address: the last in the chain that is not a trusted proxy."""
        if not self._trusts_peer(request):
            return request.peer
        addresses = _join_header_lines(request, X_FORWARDED_FOR).decode("latin-1").split(",")
        chain = [request.peer, *(_strip_port(address.strip()) for address in reversed(addresses) if address.strip())]
        return next((address for address in chain if not self._trusts(address)), chain[-1])

    def get_requested_host(self, request: Request) -> bytes:
        """Host and port as the client requested them."""
        forwarded_host = request.by_name.get(b"x-forwarded-host") if self._trusts_peer(request) else None
        return forwarded_host or request.by_name.get(b"host", b"")

    def get_requested_scheme(self, request: Request) -> str:
        """`http` or `https`, as the client requested it."""
        proto = request.by_name.get(b"x-forwarded-proto") if self._trusts_peer(request) else None
        return proto.decode("latin-1") if proto in (b"http", b"https") else request.scheme

    def _trusts_peer(self, request: Request) -> bool:
        return bool(self._networks) and self._trusts(request.peer)

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address):
            parsed = parsed.ipv4_mapped or parsed  # how a dual-stack socket names an IPv4 client
        return any(parsed in network for network in self._networks)


def _join_header_lines(request: Request, name: bytes) -> bytes:
    """All lines of a list header; some proxies append a line instead of an element."""
    return b", ".join(value for header, value in request.headers if header == name)


def _strip_port(node: str) -> str:
    """The address alone: some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


@lru_cache(maxsize=1024)
def _build_origin_headers(peer: str, proto: str, host: bytes) -> Headers:
    """Forwarded headers of a request that came without a proxy."""
    client, scheme = peer.encode(), proto.encode("latin-1")
    node = b'"[%b]"' % client if b":" in client else client
    return [
        (b"x-forwarded-for", client),
        (b"x-forwarded-proto", scheme),
        (b"x-forwarded-host", host),
        (b"forwarded", b'for=%b;host="%b";proto=%b' % (node, host.replace(b'"', b""), scheme)),
    ]
