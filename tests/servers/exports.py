"""The addresses of a fleet's servers as variables of the environment, by which other processes use the same servers."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.servers.fleet import Fleet
from tests.servers.provision import Missing

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


def start_together(fleet: Fleet, rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """The variables of servers that are started at the same time, those of a row one after another.

    What is missing is left out: the tests that need it say so.
    """
    with ThreadPoolExecutor(len(rows)) as pool:
        return {name: value for found in pool.map(lambda row: _start_row(fleet, row), rows) for name, value in found}


def _start_row(fleet: Fleet, row: Sequence[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    with suppress(Missing):
        for name in row:
            found += EXPORTS[name](fleet).items()
    return found
