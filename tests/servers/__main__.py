"""`python -m tests.servers up [postgres rabbitmq minio versitygw docker image]`: addresses on stdout, until Ctrl-C.

`python -m tests.servers images`: builds what docker-compose.yml needs where no image registry can be reached.
"""

import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

from tests.servers import standins
from tests.servers.exports import EXPORTS
from tests.servers.fleet import Fleet


def main(words: list[str]) -> None:
    if words == ["images"]:
        with Fleet() as fleet:
            _print(standins.server_images(fleet.docker) | {"PYTHON_IMAGE": fleet.python_image})
        return
    if words[:1] != ["up"] or not set(words[1:]) <= EXPORTS.keys():
        sys.exit(f"usage: python -m tests.servers up [{' '.join(EXPORTS)}] | images")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Fleet() as fleet:
        for name in words[1:] or EXPORTS:
            _print(EXPORTS[name](fleet))
        with suppress(KeyboardInterrupt):
            signal.pause()


def _print(variables: Mapping[str, str]) -> None:
    for variable, value in variables.items():
        print(f"export {variable}='{value}'", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
