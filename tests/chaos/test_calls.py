"""Calls that come while instances have more to do than they can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from deploy.demo.api import Api
from tests.e2e.application import COMPONENT, FILES, Application
from tests.e2e.load import Load
from tests.e2e.processes import Processes

TWO = COMPONENT.replace("service:shout}", "service:shout, concurrency: 8}\n  scaling: {min: 2, max: 2}")
SLOW = "import time\n\ndef shout(text: str) -> dict:\n    time.sleep(0.05)\n    return {'said': text}\n"


@pytest.fixture
def two(deployment: Processes) -> Iterator[Application]:
    """An application whose component has two instances."""
    with closing(Api(deployment.url, deployment.token)) as api:
        app = Application(deployment, api)
        app.start({**FILES, "manifests/shout.yml": TWO})
        yield app


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
