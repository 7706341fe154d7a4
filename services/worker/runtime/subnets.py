"""Which subnet an app's network gets. Pure: the engine's own pools end after about 31 networks, so we choose."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

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


def _pieces(pool: str) -> Iterator[IPv4Network | IPv6Network]:
    for part in pool.split(","):
        network = ip_network(part.strip(), strict=False)
        yield from network.subnets(new_prefix=max(PIECE, network.prefixlen))
