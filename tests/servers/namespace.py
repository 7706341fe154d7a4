"""A network namespace for a server: interfaces, addresses and rules that no other server sees."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.places import PREFIX
from tests.servers.provision import Missing, apt, program

FOLDER = Path("/run/netns")


@dataclass(frozen=True)
class Namespace:
    name: str

    @property
    def words(self) -> tuple[str, ...]:
        """Before a command, for it to run there; unlike `ip netns exec` they leave /sys, with its cgroups, as it is."""
        return (str(program("nsenter")), f"--net={FOLDER / self.name}")

    def close(self) -> None:
        _ip("netns", "delete", self.name)


def make_namespace() -> Namespace:
    """Of this process; those of runs that are no more go."""
    if os.getuid() != 0:
        raise Missing("only root can make network namespaces")
    if program("ip") is None:
        apt("iproute2")
    for path in FOLDER.glob(f"{PREFIX}pid-*"):
        if not Path(f"/proc/{path.name.rpartition('-')[2]}").exists():
            Namespace(path.name).close()
    namespace = Namespace(f"{PREFIX}pid-{os.getpid()}")
    _ip("netns", "add", namespace.name)
    _ip("-n", namespace.name, "link", "set", "lo", "up")
    return namespace


def _ip(*words: str) -> None:
    subprocess.run([str(program("ip")), *words], check=True, capture_output=True)
