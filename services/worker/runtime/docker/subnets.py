"""Chooses the subnet of an app's network. Pure. (The engine's own pools are exhausted after about 31 networks.)"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

PREFIX_LENGTH = 26
"""Prefix length of one app's subnet: 59 containers beside the gateway and the worker."""


def list_free_subnets(pool: str, used: Iterable[str], app: str) -> Iterator[str]:
    """List free subnets of `pool`, starting at a hash of the app, so that an app usually keeps its subnet."""
    subnets = list(_split_pool(pool))
    used_networks = [ip_network(network, strict=False) for network in used]
    first = zlib.crc32(app.encode()) % len(subnets)
    for subnet in (*subnets[first:], *subnets[:first]):
        if not any(subnet.version == network.version and subnet.overlaps(network) for network in used_networks):
            yield str(subnet)


def host_address(ipam_config: Mapping[str, str]) -> str:
    """The host's address in a network, from its IPAM configuration; older engines omit it."""
    return ipam_config.get("Gateway") or str(next(ip_network(ipam_config["Subnet"]).hosts()))


def parse_routes(table: str) -> list[str]:
    """Parse /proc/net/route: the subnets that this host has routes to, such as those of a VPN."""
    rows = [line.split() for line in table.splitlines()[1:]]
    networks = [IPv4Network((_parse_address(row[1]), str(_parse_address(row[7])))) for row in rows if len(row) > 7]
    return [str(network) for network in networks if network.prefixlen]


def _parse_address(text: str) -> IPv4Address:
    """Parse an address in hexadecimal digits in the host's byte order."""
    return IPv4Address(int(text, 16).to_bytes(4, sys.byteorder))


def _split_pool(pool: str) -> Iterator[IPv4Network | IPv6Network]:
    for text in pool.split(","):
        network = ip_network(text.strip(), strict=False)
        yield from network.subnets(new_prefix=max(PREFIX_LENGTH, network.prefixlen))
