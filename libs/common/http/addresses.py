"""Protection against server-side request forgery: which addresses a service may call for a user.

The policy checks the addresses that a host resolves to, never its spelling: resolve once, and connect to the result. A
second resolution (by a library, or by another program that gets the name) would bypass the check.
"""

from __future__ import annotations

import asyncio
import socket
import unicodedata
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

GLOBAL_UNICAST = ip_network("2000::/3")
"""The part of IPv6 that is assigned for global unicast."""
NAT64 = ip_network("64:ff9b::/96")
IPV4_COMPATIBLE = ip_network("::/96")


class PrivateAddressError(OSError):
    """The host resolves to an address that is neither public nor allowed by the operator."""


class NetworkPolicy:
    """Allows public addresses and the networks in `allowed`, such as `10.1.0.0/16`."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = [ip_network(network) for network in allowed]

    def allows(self, address: Address) -> bool:
        inner = embedded_ipv4(address)
        return is_public(inner) or any(inner in network or address in network for network in self._allowed)

    async def resolve(self, host: str, port: int = 0) -> list[Address]:
        """All addresses of a host, which may be a name or an address in any spelling, in the order to try them.

        Raises PrivateAddressError if one of them is not allowed; OSError if there are none.
        """
        plain = unicodedata.normalize("NFKC", host)  # digits of other scripts, as HTTP libraries read them
        try:
            results = await asyncio.get_running_loop().getaddrinfo(plain, port, type=socket.SOCK_STREAM)
        except ValueError as error:  # not a possible name: an empty label, or one of more than 63 letters
            raise OSError(f"{host} is not a host name") from error
        addresses = list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in results))
        if not addresses or not all(self.allows(address) for address in addresses):
            raise PrivateAddressError(f"{host} is not a public address")
        return addresses


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(address: Address) -> bool:
    """Whether the address is globally routable. Call `embedded_ipv4` first."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def embedded_ipv4(address: Address) -> Address:
    """The IPv4 address that an IPv6 address is translated or tunneled to; any other address unchanged."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64 or (address in IPV4_COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
