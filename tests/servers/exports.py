"""The addresses of a fleet's servers as variables of the environment, by which other processes use the same servers."""

from collections.abc import Callable, Mapping

from tests.servers.fleet import Fleet

EXPORTS: Mapping[str, Callable[[Fleet], Mapping[str, str]]] = {
    "postgres": lambda fleet: {"MLMESH_TEST_POSTGRES": fleet.postgres.url},
    "rabbitmq": lambda fleet: {
        "MLMESH_TEST_RABBITMQ": fleet.rabbitmq.url,
        "MLMESH_TEST_RABBITMQ_MANAGEMENT": fleet.rabbitmq.management or "",
    },
    "minio": lambda fleet: {"MLMESH_TEST_S3": fleet.minio.url},
    "versitygw": lambda fleet: {"MLMESH_TEST_S3_SECOND": fleet.versitygw.url},
    "docker": lambda fleet: {"MLMESH_TEST_DOCKER": fleet.docker.url},
    "image": lambda fleet: {"MLMESH_TEST_PYTHON_IMAGE": fleet.python_image},
}
