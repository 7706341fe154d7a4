"""Every template, from `mlmesh app create` to the answer that its README promises, with the lines of that README."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from deploy.demo.mesh import MLMESH, Mesh
from libs.common.templates.template import list_templates

TIMEOUT_S = 120.0
POLL_INTERVAL_S = 0.5


class CreatedApp:
    """An app that was made from a template, and a clone of its repository."""

    def __init__(self, mesh: Mesh, folder: Path, template: str, *options: str) -> None:
        self.mesh, self.name, self.folder = mesh, f"my-{template}", folder / "clone"
        mesh.run("app", "create", self.name, "--template", template, "--title", f"A {template}", *options)
        folder.mkdir(exist_ok=True)
        url = f"{mesh.url}/git/{self.name}.git"
        self._run(f"git clone --quiet --config credential.helper='!mlmesh git-credential' {url} clone", folder)
        self.readme = (self.folder / "README.md").read_text()

    def type(self, *lines: str) -> str:
        """Lines that the README has, typed into one shell; what they printed."""
        for line in lines:
            assert f"    {line}\n" in self.readme, line
        return self._run("\n".join(lines), self.folder)

    def _run(self, script: str, folder: Path) -> str:
        environ = {**self.mesh.environ, "PATH": f"{MLMESH.parent}:{self.mesh.environ['PATH']}"}
        command = ["bash", "-eu", "-o", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @staticmethod
    def outputs(answer: str) -> dict[str, object]:
        return {item["name"]: item["data"] for item in json.loads(answer)["outputs"]}

    def wait_until_live(self) -> None:
        """Also while packages are installed, which the time of a command is too short for."""
        deadline = time.monotonic() + TIMEOUT_S
        while (app := json.loads(self.mesh.run("app", "show", self.name, "--json")))["live"] is None:
            assert app["newest"]["status"] in ("pending", "starting"), app["newest"]
            assert time.monotonic() < deadline, app
            time.sleep(POLL_INTERVAL_S)

    def push_a_change(self) -> str:
        """What the person reads of the deployment."""
        script = """
            echo "One more line." >> README.md
            git -c user.name=Ann -c user.email=ann@example.org commit --quiet --all --message="A change"
            git push origin main 2>&1
        """
        return self._run(script, self.folder)


@pytest.fixture
def app(embedded: Mesh, tmp_path: Path, request: pytest.FixtureRequest) -> CreatedApp:
    return CreatedApp(embedded, tmp_path, *request.param)


def test_each_template_is_tried_here() -> None:
    assert {template.name for template in list_templates()} == {
        "batch",
        "classifier",
        "function",
        "image",
        "onnx",
        "webapp",
    }


@pytest.mark.parametrize("app", [("function", "--wait")], indirect=True)
def test_the_function_answers_owners_and_who_has_a_key(app: CreatedApp) -> None:
    answer = app.type('mlmesh predict my-function count --input text="the train was late again"')
    assert app.outputs(answer) == {"words": [5], "longest": "train"}
    answer = app.type(
        "KEY=$(mlmesh key create my-function --user bob)",
        f"curl {app.mesh.url}/my-function/count/predict -H \"X-API-Key: $KEY\" -H 'Content-Type: application/json' \\",
        """     -d '{"inputs": [{"name": "text", "datatype": "str", "data": "the train was late again"}]}'""",
    )
    assert app.outputs(answer) == {"words": [5], "longest": "train"}
    assert "live after" in app.push_a_change()


@pytest.mark.parametrize("app", [("classifier",)], indirect=True)
def test_the_classifier_answers_when_it_has_its_secret_and_its_model(app: CreatedApp) -> None:
    app.mesh.run("secret", "set", app.name, "users", "alice", given="late-again-7\n")
    app.type("mlmesh app sync my-classifier --wait")
    app.type("mlmesh run start my-classifier training --output model=models/current/ --wait")
    answer = app.type('mlmesh predict my-classifier classify --input text="the train was late again"')
    assert app.outputs(answer)["label"] == "transport"


@pytest.mark.parametrize("app", [("batch", "--wait")], indirect=True)
def test_the_batch_makes_a_table_of_files(app: CreatedApp) -> None:
    app.type(
        "mlmesh box put my-batch tests texts/inputs/",
        "mlmesh run start my-batch batch --input documents=texts/inputs/ --output report=texts/reports/ --wait",
    )
    report = app.type("mlmesh box get my-batch texts/reports/report.csv -")
    assert [line.split(",")[0] for line in report.splitlines()] == ["file", "test_batch.py"]


@pytest.mark.parametrize("app", [("image", "--wait", "--parameter", "size=20")], indirect=True)
def test_the_image_returns_a_smaller_picture(app: CreatedApp) -> None:
    answer = app.type(
        "mlmesh box put my-image example.png pictures/inputs/",
        "mlmesh predict my-image thumbnail --input picture=pictures/inputs/example.png --input size=16",
    )
    outputs = app.outputs(answer[answer.index("{") :])
    assert (outputs["width"], outputs["height"]) == ([15], [11])
    assert "thumbnail.png" in app.type("mlmesh box ls my-image pictures/results")
    answer = app.mesh.run("predict", app.name, "thumbnail", "--input", "picture=pictures/inputs/example.png")
    assert app.outputs(answer)["width"] == [20]
    place = f"pictures/{app.outputs(answer)['thumbnail']}"
    app.mesh.run("box", "get", app.name, place, str(app.folder / "small.png"))
    assert (app.folder / "small.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("app", [("webapp", "--wait")], indirect=True)
def test_the_web_application_answers_its_form(app: CreatedApp) -> None:
    page = app.type(f'curl {app.mesh.url}/my-webapp/page/ --data-urlencode "text=late train"')
    assert "<output>niart etal</output>" in page


@pytest.mark.parametrize("app", [("onnx",)], indirect=True)
def test_the_model_is_asked_when_it_is_in_the_box(app: CreatedApp) -> None:
    app.type("mlmesh box put my-onnx colours.onnx models/current/")
    app.wait_until_live()
    answer = app.type("mlmesh predict my-onnx colour --input rgb=0.9,0.1,0")
    outputs = app.outputs(answer)
    assert outputs["name"] == "red"
    app.type(
        "mlmesh box put my-onnx colours.onnx models/current/ --overwrite",
        "mlmesh component restart my-onnx colours",
    )
