"""`mlmesh run local`: a pipeline of a checkout, without a mesh."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.application import BOXES, PIPELINE, STAGES
from tests.servers.engine import Engine

CONSTANT = "{name: options, mountFrom: {box: results, path: g/f}}"
WITH_CONSTANT = PIPELINE.replace("{name: options}", CONSTANT, 1)

CONTINUED = """\
  continueWith: {experimentPipeline: {name: shouted}, vars: {text: second}}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: shouted}
spec:
  vars: [{name: text}, {name: sign}, {name: third}]
  stages:
    - name: three
      image: {existingImageName: "mlmesh-test/python:1"}
      entryPoint: sh -c 'cat $UNIP_PIPELINE_TEXT/marks $UNIP_PIPELINE_SIGN > $UNIP_PIPELINE_THIRD/out'
      inputs: [{name: text}, {name: sign}]
      outputs: [{name: third}]
  connectedBoxes: [{name: results}]
---
"""

ALONE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: copy}
spec:
  vars: [{name: out}]
  stages: [{name: one, image: {existingImageName: IMAGE}, entryPoint: 'WRITES', outputs: [{name: out}]}]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "boxes.yml").write_text(BOXES)
    (tmp_path / "manifests" / "copy.yml").write_text(PIPELINE)
    (tmp_path / "stages.py").write_text(STAGES)
    return tmp_path


def run_local(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services", "run", "local", "--folder", str(checkout), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60.0)


def test_its_stages_run_in_order_with_the_platforms_contract(checkout: Path) -> None:
    into = checkout / "out"
    options = json.dumps({"trace": str(checkout / "trace")})
    done = run_local(checkout, "copy", "--input", f"options={options}", "--into", str(into))
    assert done.returncode == 0, done.stderr
    first, second = (into / "second" / "marks").read_text().split()
    assert (into / "first" / "mark").read_text() == first != second
    assert (checkout / "trace").read_text() == "one\ntwo\n"
    assert f"second  {into / 'second'}" in done.stdout
    repeated = run_local(checkout, "copy", "--into", str(into))
    assert (repeated.returncode, "is not empty" in repeated.stderr) == (1, True)


def test_a_file_is_an_input_and_an_optional_one_may_be_left_out(checkout: Path) -> None:
    (checkout / "options.json").write_text(json.dumps({"exit": {"two": 3}}))
    assert run_local(checkout, "copy", "--into", str(checkout / "a")).returncode == 0
    failed = run_local(
        checkout, "copy", "--input", f"options=@{checkout / 'options.json'}", "--into", str(checkout / "b")
    )
    assert failed.returncode == 1
    assert "stage two: exit code 3" in failed.stderr
    assert "stage two gives up" in failed.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["other"], 1, "no ExperimentPipeline 'other'"),
        (["copy", "--input", "nothing=1"], 2, "nothing: inputs are options"),
        (["copy", "--input", "options"], 2, "write NAME=VALUE"),
    ],
)
def test_invalid_inputs_are_reported(checkout: Path, words: list[str], code: int, message: str) -> None:
    done = run_local(checkout, *words, "--into", str(checkout / "out"))
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_pipelines_that_continue_one_another_hand_on_their_variables(checkout: Path) -> None:
    chained = PIPELINE.replace("---\n", CONTINUED, 1)
    (checkout / "manifests" / "copy.yml").write_text(chained)
    into = checkout / "out"
    done = run_local(checkout, "copy", "--into", str(into), "--input", "sign=!")
    assert done.returncode == 0, done.stderr
    assert (into / "shouted" / "third" / "out").read_text() == (into / "copy" / "second" / "marks").read_text() + "!"
    failed = run_local(checkout, "copy", "--into", str(checkout / "again"))
    assert (failed.returncode, "sign is missing" in failed.stderr) == (2, True), failed.stderr
    assert not (checkout / "again" / "copy" / "first" / "mark").exists()


def test_a_constant_of_the_platform_is_asked_for(checkout: Path) -> None:
    (checkout / "manifests" / "copy.yml").write_text(WITH_CONSTANT)
    done = run_local(checkout, "copy")
    assert done.returncode == 2
    assert "options comes from results/g/f on the platform" in done.stderr


def test_an_interpreter_is_found_from_where_one_is(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ALONE.replace("IMAGE", "image").replace(
        "'WRITES'", json.dumps('sh -c "command -v python3 >$UNIP_PIPELINE_OUT/x"')
    )
    (checkout / "manifests" / "copy.yml").write_text(text)
    (checkout / "here" / "bin").mkdir(parents=True)
    (checkout / "here" / "bin" / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(checkout / "here")
    done = run_local(checkout, "copy", "--python", "bin/python3", "--into", "out")
    assert done.returncode == 0, done.stderr
    assert Path("out", "out", "x").read_text() == f"{checkout / 'here' / 'bin' / 'python3'}\n"


SECRETS = """\
---
apiVersion: mlmesh/v1
kind: Secret
metadata: {name: mine}
spec: {keys: [A_TOKEN, B_TOKEN]}
"""
PLAIN = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: plain}
data: {A_TOKEN: plain}
"""
WRITES_ITS_SECRETS = 'sh -c "echo $A_TOKEN $B_TOKEN >$UNIP_PIPELINE_OUT/x"'
OF_SECRETS = "image: {existingImageName: image}, envFrom: [{secretRef: {name: mine}}, {secretRef: {name: other}}]"


def test_values_of_secrets_are_those_of_the_shell(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ALONE.replace("image: {existingImageName: IMAGE}", OF_SECRETS).replace(
        "'WRITES'", json.dumps(WRITES_ITS_SECRETS)
    )
    (checkout / "manifests" / "copy.yml").write_text(text + SECRETS)
    (checkout / "app.yaml").write_text(SECRETS.replace("mine", "other").replace("[A_TOKEN, B_TOKEN]", "[]"))
    monkeypatch.setenv("A_TOKEN", "hunter")
    monkeypatch.delenv("B_TOKEN", raising=False)
    done = run_local(checkout, "copy", "--into", str(checkout / "out"))
    assert (done.returncode, (checkout / "out" / "out" / "x").read_text()) == (0, "hunter\n"), done.stderr
    notes = [line for line in done.stderr.splitlines() if "Secret" in line]
    assert notes == [
        'stage one: B_TOKEN of Secret "mine" is not set; set it in the environment of this command',
        'stage one: Secret "other" names no keys here; name them in its manifest (keys)',
    ]


def test_values_of_config_maps_come_in_the_order_of_env_from(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = "{configMapRef: {name: plain}}, {secretRef: {name: mine}}, {configMapRef: {name: plain}}"
    image = "image: {existingImageName: image}"
    text = ALONE.replace("image: {existingImageName: IMAGE}", f"{image}, envFrom: [{sources}]")
    file = checkout / "manifests" / "copy.yml"
    file.write_text(text.replace("'WRITES'", json.dumps(WRITES_ITS_SECRETS)) + SECRETS + PLAIN)
    monkeypatch.setenv("A_TOKEN", "hunter")
    monkeypatch.setenv("B_TOKEN", "gatherer")
    assert run_local(checkout, "copy", "--into", str(checkout / "out")).returncode == 0
    assert (checkout / "out" / "out" / "x").read_text() == "plain gatherer\n"
    file.write_text(file.read_text().replace(f", envFrom: [{sources}]", ", envFrom: [{configMapRef: {name: no}}]"))
    done = run_local(checkout, "copy", "--into", str(checkout / "other"))
    assert (done.returncode, done.stderr) == (1, "mlmesh: there is no ConfigMap 'no'; there are plain\n")


def test_a_stage_that_takes_too_long_is_ended(checkout: Path) -> None:
    slow = PIPELINE.replace(
        "      entryPoint: python3 -u stages.py one\n", "      entryPoint: sleep 60\n      timeout: 1s\n"
    )
    (checkout / "manifests" / "copy.yml").write_text(slow)
    done = run_local(checkout, "copy", "--into", str(checkout / "out"))
    assert done.returncode == 1
    assert "stage one: timeout, not finished within 1 s" in done.stderr


def test_a_stage_in_its_image_writes_as_the_images_user(
    checkout: Path, docker_engine: Engine, python_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = "mlmesh-test/somebody:1"
    (checkout / "Dockerfile").write_text(f"FROM {python_image}\nUSER 10001\n")
    docker_engine.run("build", "--quiet", "--tag", image, str(checkout))
    writes = 'sh -c "echo 1/1 >$MLMESH_PROGRESS; echo $A_TOKEN >$UNIP_PIPELINE_OUT/x"'
    text = ALONE.replace("image: {existingImageName: IMAGE}", OF_SECRETS).replace(": image}", f": {image!r}}}")
    (checkout / "manifests" / "copy.yml").write_text(text.replace("WRITES", writes) + SECRETS)
    monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    monkeypatch.setenv("A_TOKEN", "x")
    done = run_local(checkout, "copy", "--docker", "--into", str(checkout / "out"))
    assert done.returncode == 0, done.stderr
    assert (checkout / "out" / "out" / "x").read_text() == "x\n"


def test_a_stage_whose_image_is_built_does_not_run_in_it_here(checkout: Path) -> None:
    text = ALONE.replace("existingImageName: IMAGE", "build: {}")
    (checkout / "manifests" / "copy.yml").write_text(text)
    done = run_local(checkout, "copy", "--docker")
    assert "built by a mesh (image.build), not by --docker; leave that away" in done.stderr
    assert done.returncode == 1
