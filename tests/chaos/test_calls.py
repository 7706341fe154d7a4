"""Calls that come while instances are replaced, die, or have more to do than they can."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.demo.api import Api
from tests.e2e.application import COMPONENT, FILES, FUNCTION, Application
from tests.e2e.load import Load
from tests.e2e.processes import Processes

TWO = COMPONENT.replace("service:shout}", "service:shout, concurrency: 8}\n  scaling: {min: 2, max: 2}")
SLOW = "import time\n\ndef shout(text: str) -> dict:\n    time.sleep(0.05)\n    return {'said': text}\n"
IN_FLIGHT = 16
"""More than two instances can have at once by Little's law, at the rates below."""


@pytest.fixture
def two(deployment: Processes) -> Iterator[Application]:
    """An application whose component has two instances."""
    with closing(Api(deployment.url, deployment.token)) as api:
        app = Application(deployment, api)
        app.start({**FILES, "manifests/shout.yml": TWO})
        yield app


def processes(app: Application) -> set[int]:
    """Those that serve the application's component."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            environ = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[1:2] and command[1].endswith(b"serve.py") and f"MLMESH_NAMESPACE={app.name}".encode() in environ:
            found.add(int(entry.name))
    return found


def test_no_call_fails_while_versions_replace_one_another(two: Application) -> None:
    with Load(two, 100) as load:
        for number in range(4):
            assert two.deployed({"service.py": f"{FUNCTION}# {number}\n"})["status"] == "live"
    assert len(load.told) > 100
    assert load.failed == []


def test_an_instance_that_is_killed_takes_only_its_own_calls_with_it(two: Application) -> None:
    before = processes(two)
    assert len(before) == 2
    with Load(two, 100) as load:
        two.eventually("calls are answered", lambda: len(load.told) > 50)
        os.kill(min(before), signal.SIGKILL)
        two.eventually("there are two again", lambda: len(processes(two) - {min(before)}) == 2)
    assert {one.status for one in load.failed} <= {502, 503}
    assert all(one.retry_after for one in load.failed)
    assert len(load.failed) <= IN_FLIGHT


def test_more_calls_than_can_be_answered_are_refused_and_the_rest_goes_on(two: Application) -> None:
    """Two instances with one call of 50 ms at a time answer 40 a second; 200 come."""
    manifest = COMPONENT.replace("service:shout}", "service:shout}\n  scaling: {min: 2, max: 2}")
    assert two.deployed({"service.py": SLOW, "manifests/shout.yml": manifest})["status"] == "live"
    with Load(two, 200) as load:
        two.eventually("calls are refused", lambda: load.statuses[429] > 100)
    assert set(load.statuses) == {200, 429}
    refused = [one for one in load.told if one.status == 429]
    assert all(one.retry_after for one in refused)
    assert load.statuses[200] > 20
