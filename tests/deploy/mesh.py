"""A mesh of docker-compose.yml under a project name and a port of its own."""

import json
import os
import secrets
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.worker.context import get_installation_id
from tests.servers import standins
from tests.servers.engine import Engine
from tests.servers.places import LOOPBACK, PREFIX, free_port
from tests.servers.process import StartFailed

CHECKOUT = Path(__file__).parents[2]
IMAGE = "mlmesh-test/mlmesh:1"
UP_DEADLINE_S = 300
COMMAND_TIMEOUT_S = 600.0
REQUEST_TIMEOUT_S = 10.0
SERVICES = ("gateway", "registry", "scheduler", "databox", "worker")


@dataclass(frozen=True)
class Mesh:
    url: str
    admin_token: str
    project: str
    engine: Engine
    environ: Mapping[str, str]

    def compose(self, *arguments: str) -> str:
        command = [str(standins.compose_program()), "--project-name", self.project, *arguments]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=self.environ, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S
        )
        if done.returncode != 0:
            raise StartFailed(f"compose {arguments[0]}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """What `docker inspect` says, by the service's name in the compose file."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self.engine.run("inspect", *ids))
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in found}

    def host(self) -> str:
        """This host's address as the services see it."""
        network = f"{self.project}_default"
        return self.engine.run("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", network)

    def status(self, path: str, token: str | None = None) -> int:
        request = urllib.request.Request(self.url + path)  # noqa: S310 - an address of ours
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310
                status: int = answer.status
                return status
        except urllib.request.HTTPError as error:
            return error.code


@contextmanager
def compose_mesh(engine: Engine, scratch: Path) -> Iterator[Mesh]:
    """Up and healthy inside, gone afterwards with its volumes and with what its worker started."""
    project, port, admin = f"{PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}", free_port(), secrets.token_urlsafe(16)
    _remove_leftovers(engine)
    environ = {
        **os.environ,
        **standins.compose_images(engine, IMAGE),
        **{name: secrets.token_hex(16) for name in ("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "MINIO_PASSWORD")},
        **{f"MLMESH_{name}": secrets.token_hex(16) for name in ("INTERNAL_TOKEN", "SECRET_KEY")},
        "DOCKER_HOST": engine.url,
        "DOCKER_SOCKET": engine.url.removeprefix("unix://"),
        "DOCKER_GID": str(os.stat(engine.url.removeprefix("unix://")).st_gid),
        "MLMESH_ADMIN_TOKEN": admin,
        "MLMESH_APP_SUBNETS": "10.211.0.0/16",
        "MLMESH_PORT": str(port),
        "MLMESH_PUBLIC_URL": f"http://{LOOPBACK}:{port}",
        "MLMESH_SCRATCH": str(scratch),
        "MLMESH_WORKER_NAME": project,
    }
    mesh = Mesh(f"http://{LOOPBACK}:{port}", admin, project, engine, environ)
    try:
        _up(mesh)
        yield mesh
    finally:
        _down(mesh, scratch)


def _up(mesh: Mesh) -> None:
    try:
        mesh.compose("up", "--detach", "--wait", "--wait-timeout", str(UP_DEADLINE_S))
    except StartFailed as failed:
        raise StartFailed(
            f"{failed}\n{mesh.compose('logs', '--no-color', '--tail', '15', *SERVICES, 'migrate')}"
        ) from failed


def _down(mesh: Mesh, scratch: Path) -> None:
    mesh.compose("stop", "worker")
    _remove(mesh.engine, f"label=mlmesh.worker={mesh.project}")
    mesh.compose("down", "--volumes", "--timeout", "10")
    mesh.engine.clear(get_installation_id(mesh.environ["MLMESH_INTERNAL_TOKEN"]))
    shutil.rmtree(scratch, ignore_errors=True)


def _remove_leftovers(engine: Engine) -> None:
    """What a run that was killed could not take down."""
    label = "com.docker.compose.project"
    for project in set(engine.run("ps", "--all", "--format", f'{{{{.Label "{label}"}}}}').split()):
        pid = project.removeprefix(PREFIX).partition("-")[0]
        if project.startswith(PREFIX) and not Path(f"/proc/{pid}").exists():
            _remove(engine, f"label=mlmesh.worker={project}")
            _remove(engine, f"label={label}={project}")
            for kind in ("network", "volume"):
                for name in engine.run(kind, "ls", "--quiet", "--filter", f"label={label}={project}").split():
                    engine.run(kind, "rm", name)


def _remove(engine: Engine, which: str) -> None:
    found = engine.run("ps", "--all", "--quiet", "--filter", which).split()
    if found:
        engine.run("rm", "--force", "--volumes", *found)
