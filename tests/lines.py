"""Which tests stand in one line when several processes run tests (`pytest -n 4`): one after another, together.

A file's tests share what it took to start for them, and so do those that share a mesh on processes or in containers.
"""

from collections.abc import Mapping

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

SHARED: Mapping[str, tuple[str, ...]] = {
    "Compose": ("tests/deploy/test_compose.py", "tests/e2e/test_compose.py", "tests/test_servers.py"),
    "the second Docker Engine": ("tests/chaos/test_storm.py", "tests/chaos/test_engine.py"),
    "workers on the Docker Engine": (
        "tests/worker/scenarios/test_builds.py",
        "tests/worker/scenarios/test_docker.py",
        "tests/worker/scenarios/test_engine_away.py",
        "tests/worker/scenarios/test_images.py",
        "tests/worker/test_teardown.py",
        "tests/worker/runtime/docker/test_classic_builder.py",
        "tests/worker/runtime/docker/test_images.py",
        "tests/worker/runtime/docker/test_link_local.py",
        "tests/worker/runtime/docker/test_sandbox_pool.py",
    ),
}
"""Lines of several files, in order: they share a fixture of the session, stop the same engine, or run containers of the
same names."""
ON_PROCESSES = "[processes]"
IN_CONTAINERS = "[containers]"
"""The halves of a file that runs the same tests on both."""
FIRST = (
    "Compose",
    "the second Docker Engine",
    "tests/e2e/test_deployment.py[containers]",
    "workers on the Docker Engine",
    "tests/e2e/test_builds.py",
)
"""Lines that take the longest: what starts late ends last."""


def line(test: str) -> str:
    """The line in which the test of this id (`file::name`) stands."""
    file = test.partition("::")[0]
    if test.endswith(ON_PROCESSES):
        return file
    shared = next((name for name, files in SHARED.items() if file in files), None)
    return shared or (f"{file}{IN_CONTAINERS}" if test.endswith(IN_CONTAINERS) else file)


def place(test: str) -> tuple[int, int]:
    """Tests run in the order of these numbers, and in their own where they are equal."""
    name, file = line(test), test.partition("::")[0]
    files = SHARED.get(name, ())
    return FIRST.index(name) if name in FIRST else len(FIRST), files.index(file) if file in files else 0


class Lines(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A free process takes the next line, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return line(nodeid)
