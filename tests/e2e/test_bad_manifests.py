"""A commit that is wrong: its deployment fails, says where and what to do, and the version before goes on serving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import FILES, FUNCTION, Application
from tests.e2e.forge import serving
from tests.e2e.mistakes import MISTAKES


@pytest.fixture(scope="module")
def app(embedded: Mesh, api: Api) -> Application:
    application = Application(embedded, api)
    application.start()
    return application


@pytest.fixture
def repaired(app: Application) -> Iterator[None]:
    """The next commit has none of this one's errors."""
    yield
    present = {path.relative_to(app.repository.working).as_posix() for path in app.repository.working.rglob("*.*")}
    app.write({**FILES, **{name: None for name in present - FILES.keys() if name.startswith("manifests/")}})


def failed(app: Application, deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of a deployment that must have failed and changed nothing."""
    assert deployment["status"] == "failed", deployment
    assert app.shout("still").json()["outputs"][0]["data"] == "STILL!"
    live = [one for one in app.api.get(f"{app.path}/deployments")["items"] if one["status"] == "live"]
    assert len(live) == 1
    errors: list[dict[str, Any]] = deployment["errors"]
    return errors


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.usefixtures("repaired")
def test_a_wrong_manifest_fails_with_its_position(app: Application, case: str) -> None:
    mistake = MISTAKES[case]
    errors = failed(app, app.deployed({mistake.file: mistake.text}))
    assert [(error["file"], error["line"], error["column"]) for error in errors] == [
        (mistake.file, mistake.line, mistake.column)
    ], errors
    assert mistake.message in errors[0]["message"]


@pytest.mark.usefixtures("repaired")
def test_a_function_that_cannot_be_imported_fails_with_its_last_log_lines(app: Application) -> None:
    broken = "import nothing_of_this_name\n" + FUNCTION
    errors = failed(app, app.deployed({"service.py": broken}))
    assert "component shout did not start" in errors[0]["message"]
    assert "No module named 'nothing_of_this_name'" in "\n".join(errors[0]["log_tail"])


@pytest.mark.usefixtures("repaired")
def test_a_function_that_is_not_there_fails_with_its_name(app: Application) -> None:
    errors = failed(app, app.deployed({"service.py": "def other() -> dict:\n    return {}\n"}))
    assert "shout" in errors[0]["message"]


def test_a_repository_that_is_not_there_is_gits_own_word(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.push(FILES)
    with serving("127.0.0.1", app.repository.origin.parent) as forge:
        app.attach(url=f"http://127.0.0.1:{forge.port}/nowhere.git")
        message = refused(app)
    assert "nowhere.git/' not found" in message
    assert message.endswith("is the url of the Repository right?")


def test_a_branch_that_is_not_there_is_named(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.push(FILES)
    app.attach(branch="release")
    assert refused(app) == "there is no branch release; the repository has: main"


def test_wrong_credentials_are_gits_own_word(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.push(FILES)
    with serving("127.0.0.1", app.repository.origin.parent, user="ada:right") as forge:
        app.attach(url=f"http://127.0.0.1:{forge.port}/{app.repository.origin.name}")
        assert "correct the url of the Repository, or name a Secret with them (credentials)" in refused(app)


def refused(app: Application) -> str:
    """What the deployment that failed says."""

    def look() -> str | None:
        items = app.api.get(f"{app.path}/deployments?limit=1")["items"]
        return items[0]["errors"][0]["message"] if items and items[0]["status"] == "failed" else None

    return app.eventually("the deployment has failed", look)
