"""Several hosts on one machine: network namespaces on a bridge, each with a clock of its own.

What listens on this machine's loopback is at `HERE` for all of them, and for this machine.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.provision import Missing, apt, program

BRIDGE = "mlmesh-test"
HERE = "10.231.77.1"
LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"
NETWORK = f"{HERE}/24"
TO_LOOPBACK = ("-d", HERE, "-p", "tcp", "-j", "DNAT", "--to-destination", "127.0.0.1")
FROM_LOOPBACK = ("-s", NETWORK, "-d", "127.0.0.1", "-p", "tcp", "-j", "SNAT", "--to-source", "127.0.0.1")
RULES = (
    ("PREROUTING", "-i", BRIDGE, *TO_LOOPBACK),
    ("OUTPUT", *TO_LOOPBACK),
    ("INPUT", *FROM_LOOPBACK),
    ("POSTROUTING", *FROM_LOOPBACK),
)
"""Servers that trust the loopback only take what comes from these hosts, too."""


@dataclass(frozen=True)
class Host:
    number: int

    @property
    def name(self) -> str:
        return f"{BRIDGE}-{self.number}"

    @property
    def address(self) -> str:
        return f"{HERE.rpartition('.')[0]}.{10 + self.number}"

    @property
    def words(self) -> tuple[str, ...]:
        """Before a command, for it to run there."""
        return (_ip(), "netns", "exec", self.name)

    def cut_off(self) -> None:
        """As if its cable was pulled."""
        _run(_ip(), "link", "set", f"ml-host{self.number}", "down")

    def reconnect(self) -> None:
        _run(_ip(), "link", "set", f"ml-host{self.number}", "up")


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    if os.getuid() != 0:
        raise Missing("only root can make network namespaces")
    if program("ip") is None:
        apt("iproute2")
    if program("iptables") is None:
        apt("iptables")
    _clear(count)
    found = [Host(number) for number in range(1, count + 1)]
    try:
        _bridge()
        for host in found:
            _connect(host)
        yield found
    finally:
        _clear(count)


def clock(seconds: int) -> Mapping[str, str]:
    """Variables for a process whose wall clock is wrong by so much; its monotonic clock is not."""
    if not list(Path("/").glob(LIBRARY.lstrip("/"))):
        apt("libfaketime")
    library = str(next(Path("/").glob(LIBRARY.lstrip("/"))))
    return {"LD_PRELOAD": library, "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _bridge() -> None:
    _run(_ip(), "link", "add", BRIDGE, "type", "bridge")
    _run(_ip(), "address", "add", NETWORK, "dev", BRIDGE)
    _run(_ip(), "link", "set", BRIDGE, "up")
    Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/route_localnet").write_text("1")
    for rule in RULES:
        _run(_iptables(), "-t", "nat", "-I", *rule)


def _connect(host: Host) -> None:
    outside, inside = f"ml-host{host.number}", "eth0"
    _run(_ip(), "netns", "add", host.name)
    _run(_ip(), "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", host.name)
    _run(_ip(), "link", "set", outside, "master", BRIDGE, "up")
    for words in (
        ("link", "set", "lo", "up"),
        ("link", "set", inside, "up"),
        ("address", "add", f"{host.address}/24", "dev", inside),
        ("route", "add", "default", "via", HERE),
    ):
        _run(_ip(), "-n", host.name, *words)


def _clear(count: int) -> None:
    """Also what a run left that was ended by force."""
    for number in range(1, count + 1):
        _run(_ip(), "netns", "delete", Host(number).name, check=False)
    _run(_ip(), "link", "delete", BRIDGE, check=False)
    for rule in RULES:
        _run(_iptables(), "-t", "nat", "-D", *rule, check=False)


def _ip() -> str:
    return str(program("ip"))


def _iptables() -> str:
    return str(program("iptables"))


def _run(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=not check)
