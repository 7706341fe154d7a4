"""Which subnet an app's network gets. Pure: the engine's own pools end after about 31 networks, so we choose."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

PIECE = 26
"""Prefix length of one app's subnet: 59 containers beside the gateway and the worker."""


def free(pool: str, used: Iterable[str], app: str) -> Iterator[str]:
    """Free pieces of `pool`, the first one nearly always the same for an app."""
    pieces = list(_pieces(pool))
    taken = [ip_network(one, strict=False) for one in used]
    first = zlib.crc32(app.encode()) % len(pieces)
    for piece in (*pieces[first:], *pieces[:first]):
        if not any(piece.version == one.version and piece.overlaps(one) for one in taken):
            yield str(piece)


def host(part: Mapping[str, str]) -> str:
    """The host's address in a network, of its IPAM configuration; older engines do not write it down."""
    return part.get("Gateway") or str(next(ip_network(part["Subnet"]).hosts()))


def routed(table: str) -> list[str]:
    """The subnets that this host has routes to, of the text of /proc/net/route: a VPN's, another engine's."""
    rows = [line.split() for line in table.splitlines()[1:]]
    found = [IPv4Network((_address(row[1]), str(_address(row[7])))) for row in rows if len(row) > 7]
    return [str(network) for network in found if network.prefixlen]


def _address(written: str) -> IPv4Address:
    """It is written as a number in the host's byte order."""
    return IPv4Address(int(written, 16).to_bytes(4, sys.byteorder))


def _pieces(pool: str) -> Iterator[IPv4Network | IPv6Network]:
    for part in pool.split(","):
        network = ip_network(part.strip(), strict=False)
        yield from network.subnets(new_prefix=max(PIECE, network.prefixlen))
