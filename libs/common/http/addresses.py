"""Which addresses a service may be made to call by what somebody else has written.

The decision is made on the addresses that a host leads to, never on how it is spelled: look up once, connect to what
came out. A second look-up (a library's own, a name given to another program) undoes the decision.
"""

from __future__ import annotations

import asyncio
import socket
import unicodedata
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

GLOBAL_UNICAST = ip_network("2000::/3")
"""All of IPv6 that is given out to networks which anybody can reach."""
NAT64 = ip_network("64:ff9b::/96")
IPV4_COMPATIBLE = ip_network("::/96")


class PrivateAddressError(OSError):
    """The host leads to an address that is not public and that the operator has not allowed."""


class NetworkPolicy:
    """`allowed`: networks that may be called besides public addresses, as `10.1.0.0/16`."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = [ip_network(one) for one in allowed]

    def allows(self, address: Address) -> bool:
        inner = embedded_ipv4(address)
        return is_public(inner) or any(inner in network or address in network for network in self._allowed)

    async def resolve(self, host: str, port: int = 0) -> list[Address]:
        """All addresses of a host in the order to try them; a host may be a name or an address in any spelling.

        Raises Internal when one of them may not be called; OSError when it has none.
        """
        plain = unicodedata.normalize("NFKC", host)  # digits of other scripts, as libraries that connect read them
        try:
            found = await asyncio.get_running_loop().getaddrinfo(plain, port, type=socket.SOCK_STREAM)
        except ValueError as error:  # no text that could be a name: an empty label, one of more than 63 letters
            raise OSError(f"{host} is not a host name") from error
        addresses = list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found))
        if not addresses or not all(self.allows(one) for one in addresses):
            raise PrivateAddressError(f"{host} is not a public address")
        return addresses


def is_loopback(host: str) -> bool:
    """Whether it is this machine by an address, or by the name that every machine has for itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(address: Address) -> bool:
    """Whether anybody's network routes it. IPv6 addresses that stand for IPv4 ones are for `embedded` first."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def embedded_ipv4(address: Address) -> Address:
    """The IPv4 address that an IPv6 one is translated or tunneled to; any other as it is."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64 or (address in IPV4_COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
