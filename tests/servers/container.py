"""A server from a Docker image: the last resort, when its program is neither installed nor can be."""

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.servers.engine import Engine
from tests.servers.leftovers import OWNER, identity
from tests.servers.places import LOOPBACK
from tests.servers.process import POLL_S, START_DEADLINE_S, StartFailed
from tests.servers.provision import Missing


@dataclass
class Container:
    """Behaves like a Process. Its processes carry the owner's mark, too, so that a killed run's are found."""

    image: str
    ports: Mapping[int, int]
    """Loopback port here → port in the container."""
    environ: Mapping[str, str]
    command: tuple[str, ...] = ()
    mounts: Mapping[str, str] = field(default_factory=dict)
    engine: Engine = field(default_factory=Engine)
    name: str = field(default_factory=lambda: f"mlmesh-test-{uuid.uuid4().hex[:12]}")
    _created: bool = False

    @property
    def running(self) -> bool:
        return self._created and self.engine.run("inspect", "--format", "{{.State.Running}}", self.name) == "true"

    def start(self, ready: Callable[[], bool]) -> None:
        if not self._created:
            self._create()
        self.engine.run("start", self.name)
        deadline = time.monotonic() + START_DEADLINE_S
        while not ready():
            if not self.running or time.monotonic() > deadline:
                tail = self.engine.run("logs", "--tail", "20", self.name)
                self.close()
                raise StartFailed(f"{self.image} did not come up:\n{tail}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        self.engine.run("stop", "--time", "20", self.name)

    def kill(self) -> None:
        self.engine.run("kill", self.name)

    def pause(self) -> None:
        self.engine.run("pause", self.name)

    def resume(self) -> None:
        if self.engine.run("inspect", "--format", "{{.State.Paused}}", self.name) == "true":
            self.engine.run("unpause", self.name)

    def close(self) -> None:
        if self._created:
            self.engine.run("rm", "--force", "--volumes", self.name)

    def _create(self) -> None:
        if not self.engine.has_image(self.image):
            self.engine.run("pull", self.image)
        environ = {**self.environ, OWNER: identity(os.getpid())}
        self.engine.run(
            "create",
            f"--name={self.name}",
            *(f"--publish={LOOPBACK}:{here}:{there}" for here, there in self.ports.items()),
            *(f"--env={name}={value}" for name, value in environ.items()),
            *(f"--volume={here}:{there}:ro" for here, there in self.mounts.items()),
            self.image,
            *self.command,
        )
        self._created = True


def need_engine(reason: Missing) -> None:
    """Passes on why the program could not be had when there is no engine either."""
    try:
        if Engine().answers():
            return
    except (Missing, subprocess.TimeoutExpired) as error:
        raise reason from error
    raise reason
