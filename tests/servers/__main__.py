"""`python -m tests.servers up postgres rabbitmq minio versitygw docker image`: addresses on stdout, until Ctrl-C."""

import signal
import sys

from tests.servers.fleet import Fleet

EXPORTS = {
    "postgres": lambda fleet: {"MLMESH_TEST_POSTGRES": fleet.postgres.url},
    "rabbitmq": lambda fleet: {
        "MLMESH_TEST_RABBITMQ": fleet.rabbitmq.url,
        "MLMESH_TEST_RABBITMQ_MANAGEMENT": fleet.rabbitmq.management,
    },
    "minio": lambda fleet: {"MLMESH_TEST_S3": fleet.minio.url},
    "versitygw": lambda fleet: {"MLMESH_TEST_S3_SECOND": fleet.versitygw.url},
    "docker": lambda fleet: {"MLMESH_TEST_DOCKER": fleet.docker.url},
    "image": lambda fleet: {"MLMESH_TEST_PYTHON_IMAGE": fleet.python_image},
}


def main(words: list[str]) -> None:
    if words[:1] != ["up"] or not set(words[1:]) <= EXPORTS.keys():
        sys.exit(f"usage: python -m tests.servers up [{' '.join(EXPORTS)}]")
    with Fleet() as fleet:
        for name in words[1:] or EXPORTS:
            for variable, value in EXPORTS[name](fleet).items():
                print(f"export {variable}='{value}'", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main(sys.argv[1:])
