"""docker-compose.yml, really brought up."""

import os
import subprocess

from tests.deploy.mesh import CHECKOUT, SERVICES, Mesh
from tests.servers.engine import Engine
from tests.servers.images import python_image


def test_every_service_of_the_compose_file_becomes_healthy(compose: Mesh) -> None:
    states = {name: box["State"] for name, box in compose.containers().items()}
    assert {name: state["Health"]["Status"] for name, state in states.items() if "Health" in state} == dict.fromkeys(
        (*SERVICES, "postgres", "rabbitmq", "minio"), "healthy"
    )
    assert {name: state["ExitCode"] for name, state in states.items() if "Health" not in state} == {
        "migrate": 0,
        "scratch": 0,
    }


def test_only_the_gateway_has_a_published_port(compose: Mesh) -> None:
    published = {
        name: port
        for name, box in compose.containers().items()
        for port, bindings in (box["NetworkSettings"]["Ports"] or {}).items()
        if bindings
    }
    assert published == {"gateway": "8000/tcp"}


def test_no_service_runs_as_root_or_keeps_capabilities(compose: Mesh) -> None:
    containers = compose.containers()
    for name in SERVICES:
        assert containers[name]["Config"]["User"] == "mlmesh", name
        assert containers[name]["HostConfig"]["CapDrop"] == ["ALL"], name


def test_the_gateway_of_the_compose_mesh_is_ready_and_protected(compose: Mesh) -> None:
    assert compose.status("/readyz") == 200
    assert compose.status("/api/v1/apps", compose.admin_token) == 200
    assert compose.status("/api/v1/apps", "wrong") == 401
    assert compose.status("/internal/table") == 404


BUILD = """
cd $(mktemp -d) && echo value > token
printf 'FROM {base}\\nRUN --mount=type=secret,id=token test "$(cat /run/secrets/token)" = value\\n' > Dockerfile
DOCKER_BUILDKIT=1 docker build --quiet --secret id=token,src=token .
"""


def test_the_worker_builds_images_with_secrets(compose: Mesh) -> None:
    """With BuildKit, which the engine's own command has: its API alone has only the classic builder."""
    base = python_image(compose.engine)
    image = compose.compose("exec", "--no-TTY", "worker", "sh", "-ec", BUILD.format(base=base)).strip()
    assert image.startswith("sha256:")
    compose.engine.run("image", "rm", image)


def test_the_engines_socket_is_found_wherever_it_is(docker_engine: Engine) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}

    def found(**chosen: str) -> tuple[int, str]:
        command = [str(CHECKOUT / "deploy/compose.sh"), "socket"]
        done = subprocess.run(command, env={**environ, **chosen}, capture_output=True, text=True)
        return done.returncode, done.stdout.strip() or done.stderr.strip()

    path = docker_engine.url.removeprefix("unix://")
    assert found(DOCKER_HOST=docker_engine.url) == (0, path)
    assert found(DOCKER_HOST="tcp://127.0.0.1:1", DOCKER_SOCKET=path) == (0, path)
    assert found(DOCKER_HOST="tcp://127.0.0.1:1") == (
        1,
        "compose: the worker needs the Docker Engine's socket on this host, and tcp://127.0.0.1:1 is none; "
        "name it: DOCKER_SOCKET=/path",
    )
