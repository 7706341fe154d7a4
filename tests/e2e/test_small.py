"""The small application on the embedded mesh: what the other tests of this folder stand on."""

from __future__ import annotations

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import Application


def test_the_small_application_answers_and_runs(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.start()
    assert app.shout("hi").json()["outputs"][0]["data"] == "HI!"
    place = app.submit().headers["Location"]
    run = app.ended(place)
    assert run["status"] == "succeeded", run
    first, second = app.outputs(place)["marks"].split()
    assert first != second
