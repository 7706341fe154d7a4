"""Which files of tests stand in one line when several processes run tests (`pytest -n 4`): one after another, together.

A file's tests share what it took to start for them. Files in ON_THE_ENGINE share the Docker Engine: two engines that
start on one host trip over each other's network rules.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

ON_THE_ENGINE = frozenset(
    {
        "tests/chaos/test_engine.py",
        "tests/chaos/test_storm.py",
        "tests/cli/test_local_run.py",
        "tests/contracts/test_runtime.py",
        "tests/deploy/test_compose.py",
        "tests/e2e/test_builds.py",
        "tests/e2e/test_calls.py",
        "tests/e2e/test_compose.py",
        "tests/e2e/test_deployment.py",
        "tests/e2e/test_docker_up.py",
        "tests/e2e/test_images.py",
        "tests/e2e/test_runs.py",
        "tests/test_servers.py",
        "tests/worker/scenarios/test_builds.py",
        "tests/worker/scenarios/test_docker.py",
        "tests/worker/scenarios/test_engine_away.py",
        "tests/worker/scenarios/test_images.py",
        "tests/worker/runtime/docker/test_classic_builder.py",
        "tests/worker/runtime/docker/test_images.py",
        "tests/worker/runtime/docker/test_link_local.py",
        "tests/worker/runtime/docker/test_sandbox_pool.py",
    }
)
ON_PROCESSES = "[processes]"
"""The half of such a file that runs the same tests without the engine."""


def line(test: str) -> str:
    """The line in which the test of this id (`file::name`) stands."""
    file = test.partition("::")[0]
    return "the Docker Engine" if file in ON_THE_ENGINE and not test.endswith(ON_PROCESSES) else file


class Lines(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A free process takes the next line, in the order of the files."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return line(nodeid)
