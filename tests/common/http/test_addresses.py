"""Hosts are judged by the addresses that they lead to, whatever the spelling."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.http.addresses import Address, NetworkPolicy, PrivateAddressError

INTERNAL = ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"]
INTERNAL += ["192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"]
NETWORKS = [ip_network(one) for one in INTERNAL]

internal = st.one_of(*(st.ip_addresses(v=4, network=str(one)) for one in NETWORKS))
outside = st.ip_addresses(v=4).filter(lambda one: one.is_global and not any(one in network for network in NETWORKS))

DIGITS = [
    "0123456789",
    "".join(chr(0xFF10 + n) for n in range(10)),  # full width
    "".join(chr(0x1FBF0 + n) for n in range(10)),  # of a seven-segment display
    "".join(chr(0x1D7CE + n) for n in range(10)),  # bold
    "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "₀₁₂₃₄₅₆₇₈₉",
    "⓪①②③④⑤⑥⑦⑧⑨",
]
DOTS = [".", "。", "．", "｡"]  # noqa: RUF001  the dots that names may be written with

WAYS: dict[str, Callable[[IPv4Address], str]] = {
    "dotted": str,
    "decimal": lambda one: str(int(one)),
    "octal": lambda one: ".".join(f"0{part:o}" for part in one.packed),
    "hexadecimal": lambda one: f"0x{int(one):08x}",
    "mixed": lambda one: f"{one.packed[0]:#x}.{one.packed[1]}.{int(one) & 0xFFFF}",
    "two parts": lambda one: f"{one.packed[0]}.{int(one) & 0xFFFFFF}",
    "mapped": lambda one: f"::ffff:{one}",
    "compatible": lambda one: f"::{one}",
    "NAT64": lambda one: f"64:ff9b::{one}",
    "6to4": lambda one: str(IPv6Address(0x2002 << 112 | int(one) << 80)),
    "Teredo": lambda one: str(IPv6Address(0x20010000 << 96 | (int(one) ^ 0xFFFFFFFF))),
}


@given(internal, st.sampled_from(sorted(WAYS)))
async def test_no_spelling_of_an_internal_address_is_allowed(address: IPv4Address, way: str) -> None:
    if way == "compatible" and int(address) < 2:
        way = "dotted"  # ::0 and ::1 are IPv6's own
    with pytest.raises(PrivateAddressError):
        await NetworkPolicy().resolve(WAYS[way](address), 80)


@given(internal, st.sampled_from(DIGITS), st.sampled_from(DOTS), st.sampled_from(["dotted", "decimal", "octal"]))
async def test_digits_and_dots_of_any_script_are_digits_and_dots(
    address: IPv4Address, digits: str, dot: str, way: str
) -> None:
    with pytest.raises(PrivateAddressError):
        await NetworkPolicy().resolve(WAYS[way](address).translate(str.maketrans("0123456789.", digits + dot)), 80)


@given(outside, st.sampled_from(sorted(WAYS)))
async def test_every_spelling_of_a_public_address_is_allowed(address: IPv4Address, way: str) -> None:
    assert len(await NetworkPolicy().resolve(WAYS[way](address), 80)) == 1


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "ⓛocalhost",
        "127.0.0.\U0001fbf1",
        "::",
        "::1",
        "0:0:0:0:0:0:0:1",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "fd00::1",
        "ff02::1",
        "64:ff9b:1::7f00:1",
        "100::1",
        "2001:db8::1",
        "4000::1",
        "169.254.169.254",
    ],
)
async def test_internal_hosts_are_refused_and_the_sentence_tells_no_address(host: str) -> None:
    with pytest.raises(PrivateAddressError, match=f"^{host} is not a public address$"):
        await NetworkPolicy().resolve(host, 80)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
async def test_what_is_no_host_leads_nowhere(host: str) -> None:
    with pytest.raises(OSError, match=r"is not a host name$"):
        await NetworkPolicy().resolve(host, 80)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.168.7.7", True),
        ("::ffff:192.168.7.7", True),
        ("192.168.8.7", False),
        ("fd00:7::1", True),
        ("fd00:8::1", False),
        ("2606:2800:220:1::1", True),
        ("93.184.216.34", True),
    ],
)
def test_an_operator_allows_networks_besides(address: str, allowed: bool) -> None:
    judged: Address = ip_address(address)
    assert NetworkPolicy(["192.168.7.0/24", "fd00:7::/32"]).allows(judged) is allowed
