"""An image registry: Debian's docker-registry on the loopback, without TLS, behind a password."""

import json
from pathlib import Path

from tests.servers.places import LOOPBACK, free_port
from tests.servers.process import Process, answers
from tests.servers.provision import Missing, apt, program
from tests.servers.server import Server

LOGIN = "ann:s3cret"
PASSWORD_FILE = "ann:$2b$04$EcmGsQsRfb/5cAxqQswpXOjZf7YoOyWcXMTBGpL65pv3/j45CmYku\n"
"""As htpasswd writes it: the hash of the password in LOGIN."""


class DockerRegistry(Server):
    """`url` is `host:port`, the beginning of its images' names."""

    def answers(self) -> bool:
        return answers(int(self.url.partition(":")[2]))


def start(parent: Path) -> DockerRegistry:
    command = program("docker-registry")
    if command is None:
        apt("docker-registry")
        command = program("docker-registry")
    if command is None:
        raise Missing("docker-registry was installed, but has no command")
    folder = parent / "docker-registry"
    folder.mkdir()
    passwords, config, url = folder / "passwords", folder / "config.yml", f"{LOOPBACK}:{free_port()}"
    passwords.write_text(PASSWORD_FILE)
    config.write_text(
        json.dumps(
            {
                "version": "0.1",
                "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
                "http": {"addr": url},
                "auth": {"htpasswd": {"realm": "tests", "path": str(passwords)}},
            }
        )
    )
    registry = DockerRegistry(url, Process("docker-registry", [str(command), "serve", str(config)], folder))
    registry.start()
    return registry
