"""Which addresses count as one client, where attempts or calls of a client are limited. Pure."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

IPV6_PREFIX_BITS = 64
"""The IPv6 prefix that a provider assigns to one customer."""


@lru_cache(maxsize=4096)
def get_client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or IPv6Network((int(parsed), IPV6_PREFIX_BITS), strict=False))
    return str(parsed)
