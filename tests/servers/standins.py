"""Stand-ins for the official images that docker-compose.yml names, and the product's own image on the same ground."""

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.servers.engine import Engine
from tests.servers.images import lock_name, python_image
from tests.servers.places import cache, locked
from tests.servers.provision import Missing, go_install, program, tell
from tests.servers.s3 import MINIO

CHECKOUT = Path(__file__).parents[2]
COMPOSE = "github.com/docker/compose/v5/cmd", "v5.0.2"
VARIABLES = {"postgres": "POSTGRES_IMAGE", "rabbitmq": "RABBITMQ_IMAGE", "minio": "MINIO_IMAGE"}
BUILD_TIMEOUT_S = 900.0


def compose_images(engine: Engine, name: str) -> dict[str, str]:
    """Docker-compose.yml's variables of images: the product's, under this name, and the servers', made together."""
    python_image(engine)
    with ThreadPoolExecutor(3) as pool:
        mesh, servers = pool.submit(mesh_image, engine, name), pool.submit(server_images, engine)
        pool.submit(compose_program).result()
        return {"MLMESH_IMAGE": mesh.result(), **servers.result()}


def server_images(engine: Engine) -> dict[str, str]:
    """Names of images for docker-compose.yml's variables; those given in the environment stay."""
    with ThreadPoolExecutor(len(VARIABLES)) as pool:
        images = pool.map(lambda name: os.environ.get(VARIABLES[name]) or _server(engine, name), VARIABLES)
        return dict(zip(VARIABLES.values(), images, strict=True))


def mesh_image(engine: Engine, name: str) -> str:
    """The product's image from this checkout, on the tests' Python image."""
    tell(f"building {name}")
    environ = {**os.environ, "DOCKER_HOST": engine.url, "DOCKER_BUILDKIT": "0", "PYTHON_IMAGE": python_image(engine)}
    command = [str(CHECKOUT / "deploy" / "compose.sh"), "build", name]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    if done.returncode != 0:
        raise Missing(f"docker build: {done.stderr.strip()[-800:]}")
    return name


def compose_program() -> Path:
    """The Compose plugin also runs alone."""
    return program("docker-compose") or go_install(*COMPOSE, "docker-compose")


def _server(engine: Engine, name: str) -> str:
    image = f"mlmesh-test/{name}:1"
    base = python_image(engine)
    tell(f"building {image}")
    with locked(lock_name(image)), tempfile.TemporaryDirectory(dir=cache()) as folder:
        context = Path(folder) / name
        shutil.copytree(CHECKOUT / "deploy" / "standins" / name, context)
        if name == "minio":
            shutil.copy(program("minio") or go_install(*MINIO, "minio"), context / "minio")
        engine.run("build", "--quiet", "--tag", image, "--build-arg", f"BASE={base}", str(context))
    return image
