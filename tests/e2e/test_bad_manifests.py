"""A commit that is wrong: its deployment fails, says where and what to do, and the version before goes on serving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import BOXES, COMPONENT, FILES, FUNCTION, PIPELINE, Application
from tests.e2e.forge import serving

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
CYCLE = PIPELINE.replace("inputs: [{name: options}]\n      outputs: [{name: first}]",
                         "inputs: [{name: options}, {name: second}]\n      outputs: [{name: first}]")  # fmt: skip
CASES = {
    "typo": ("shout.yml", COMPONENT.replace("inference", "inferense"),
             (6, 15, 'unknown field "inferense"; did you mean "inference"?')),
    "type": ("shout.yml", COMPONENT.replace("service:shout}", "service:shout, concurrency: many}"),
             (6, 54, '"concurrency" must be a whole number, not "many"')),
    "duplicate": ("twice.yml", BOXES.partition("---")[0],
                  (3, 18, 'a second DataBox "results"; the first is at manifests/boxes.yml:1, rename one of them')),
    "reference": ("shout.yml", COMPONENT.replace("mlComponent: {name: shout}", "mlComponent: {name: shoot}"),
                  (12, 23, 'there is no MLComponent "shoot"; did you mean "shout"?')),
    "cycle": ("copy.yml", CYCLE,
              (7, 13, "stages wait for each other in a circle: one → two → one; remove an input of one of them")),
    "yaml": ("shout.yml", COMPONENT + "  - {\n", (14, 3, "invalid YAML: expected <block end>, but found '-'")),
    "size": ("shout.yml", COMPONENT + "# " + "x" * 10_000_000,
             (1, 1, "10000334 bytes are too large for a manifest; at most 1048576 are read")),
    "bomb": ("shout.yml", BOMB, (5, 8, "more than 10000 values with aliases expanded; split the file")),
}  # fmt: skip


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


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("repaired")
def test_a_wrong_manifest_fails_with_its_position(app: Application, case: str) -> None:
    name, text, (line, column, message) = CASES[case]
    errors = failed(app, app.deployed({f"manifests/{name}": text}))
    assert [(error["file"], error["line"], error["column"]) for error in errors] == [
        (f"manifests/{name}", line, column)
    ], errors
    assert message in errors[0]["message"]


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
    app.attach(url=f"file://{embedded.folder}/nowhere.git")
    message = refused(app)
    assert "nowhere.git' does not appear to be a git repository" in message
    assert message.endswith("is the url of the Repository right?")


def test_a_branch_that_is_not_there_is_named(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.push(FILES)
    app.attach(branch="release")
    assert refused(app) == "couldn't find remote ref refs/heads/release; is the branch of the Repository right?"


def test_wrong_credentials_are_gits_own_word(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.push(FILES)
    with serving("127.0.0.1", app.repository.origin.parent, user="ada:right") as forge:
        app.attach(url=f"http://127.0.0.1:{forge.port}/{app.repository.origin.name}")
        assert "name a Secret with them in the Repository (credentials)" in refused(app)


def refused(app: Application) -> str:
    """What the deployment that failed says."""

    def look() -> str | None:
        items = app.api.get(f"{app.path}/deployments?limit=1")["items"]
        return items[0]["errors"][0]["message"] if items and items[0]["status"] == "failed" else None

    return app.eventually("the deployment has failed", look)
