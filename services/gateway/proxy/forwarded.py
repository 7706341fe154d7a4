"""Who may say on whose behalf a request comes, and what is passed on of that."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from libs.common.settings import BadSetting
from services.gateway.proxy.request import CREDENTIALS, Request
from services.gateway.proxy.upstream_connection import Headers

FOR, CHAIN = b"x-forwarded-for", b"forwarded"


class Proxies:
    """Who may say on whose behalf a request comes."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        try:
            self._networks = [ip_network(one, strict=False) for one in trusted]
        except ValueError as error:
            raise BadSetting(f"MLMESH_TRUSTED_PROXIES: {error}") from error
        self._trusts = lru_cache(maxsize=1024)(self._is_trusted)

    def passed_on(self, request: Request, without: frozenset[bytes] = CREDENTIALS) -> Headers:
        """A request's headers for the next one, with its id and its origin."""
        passed = request.passed_on(without=without)
        return [*passed, *self.forwarded(request), (b"x-request-id", request.id.encode())]

    def forwarded(self, request: Request) -> Headers:
        host = request.by_name.get(b"host", b"")
        if not self._trusts_peer(request):
            return _origin(request.peer, request.scheme, host)
        given = request.by_name
        proto = given.get(b"x-forwarded-proto") or request.scheme.encode()
        host = given.get(b"x-forwarded-host") or host
        last = _origin(request.peer, proto.decode("latin-1"), host)
        before = (_said(request, FOR), None, None, _said(request, CHAIN))
        return [
            (name, b"%b, %b" % (one, value) if one else value) for one, (name, value) in zip(before, last, strict=True)
        ]

    def caller(self, request: Request) -> str:
        """The address of who calls: the nearest that is not one of the trusted."""
        if not self._trusts_peer(request):
            return request.peer
        passed = _said(request, FOR).decode("latin-1").split(",")
        chain = [request.peer, *(_without_port(one.strip()) for one in reversed(passed) if one.strip())]
        return next((one for one in chain if not self._trusts(one)), chain[-1])

    def host(self, request: Request) -> bytes:
        """The host, with its port, that the caller typed."""
        passed = request.by_name.get(b"x-forwarded-host") if self._trusts_peer(request) else None
        return passed or request.by_name.get(b"host", b"")

    def _trusts_peer(self, request: Request) -> bool:
        return bool(self._networks) and self._trusts(request.peer)

    def _is_trusted(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address):
            found = found.ipv4_mapped or found  # so an IPv4 caller is called where both are listened to
        return any(found in network for network in self._networks)


def _said(request: Request, name: bytes) -> bytes:
    """All of a list; some proxies add a line of their own to it."""
    return b", ".join(value for given, value in request.headers if given == name)


def _without_port(node: str) -> str:
    """An address as it is: some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


@lru_cache(maxsize=1024)
def _origin(peer: str, proto: str, host: bytes) -> Headers:
    """What the next one is told about a request that nobody passed on before."""
    by, over = peer.encode(), proto.encode("latin-1")
    node = b'"[%b]"' % by if b":" in by else by
    return [
        (b"x-forwarded-for", by),
        (b"x-forwarded-proto", over),
        (b"x-forwarded-host", host),
        (b"forwarded", b'for=%b;host="%b";proto=%b' % (node, host.replace(b'"', b""), over)),
    ]
