from dataclasses import replace

import pytest

from libs.common.manifests import APIComponent, ExperimentPipeline, MLComponent, read_documents
from libs.common.manifests.catalog import Catalog
from services.registry.checks.catalog import check_manifests, select_bodies
from services.registry.checks.deployment_warnings import (
    MAX_STOPPED_WARNINGS,
    warn_of_sandboxed_pages,
    warn_of_stopped,
)
from tests.registry.working_copy import API as A_COMPONENTS_API

MANIFESTS = b"""\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: one}
spec:
  image: {existingImageName: "any/image:1"}
  mlService: {inference: "m:f", python: /opt/python3}
  resources: {memory: 1Gi}
  security: {readOnlyRoot: true}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: two}
spec:
  vars: [{name: out}]
  stages: [{name: s, image: {existingImageName: "any/image:1"}, entryPoint: "true", outputs: [{name: out}]}]
"""
REST = "not applied: this mesh runs processes, which it does not isolate; mlmesh up --runtime docker does all of it"


def test_what_processes_do_not_do_is_a_warning_at_its_place() -> None:
    catalog, problems = check_manifests({"manifests/a.yml": MANIFESTS}, None, processes=True)
    assert catalog is not None
    assert [(problem.line, problem.severity, problem.message) for problem in problems] == [
        (
            4,
            "warning",
            f"image.existingImageName, resources.memory, security.readOnlyRoot, mlService.python are {REST}",
        ),
        (15, "warning", f"image.existingImageName is {REST}"),
    ]
    assert check_manifests({"manifests/a.yml": MANIFESTS}, None)[1] == []


def test_what_was_told_of_the_live_deployment_is_not_told_again() -> None:
    files = {"manifests/a.yml": MANIFESTS}
    live = Catalog.from_json(check_manifests(files, None, processes=True)[0].to_json())  # type: ignore[union-attr]
    assert check_manifests(files, None, processes=True, live=live)[1] == []
    changed = MANIFESTS.replace(b"1Gi}", b"2Gi, cpu: 2}").replace(b"{name: s,", b"{name: other,")
    problems = check_manifests({"manifests/a.yml": changed}, None, processes=True, live=live)[1]
    assert [problem.message for problem in problems] == [
        f"resources.cpu, resources.memory are {REST}",
        f"image.existingImageName is {REST}",
    ]


COMPONENT = select_bodies(read_documents({"manifests/a.yml": MANIFESTS})[0], MLComponent)["one"]
PIPELINE = select_bodies(read_documents({"manifests/a.yml": MANIFESTS})[0], ExperimentPipeline)["two"]
API = select_bodies(read_documents({"api.yml": A_COMPONENTS_API.encode()})[0], APIComponent)["digits-api"]
NOTHING = Catalog({}, {}, {}, {}, {})
LIVE = replace(NOTHING, components={"a": COMPONENT, "b": COMPONENT}, pipelines={"p": PIPELINE}, apis={"x": API})


def test_what_is_live_and_not_in_the_commit_is_told_to_stop() -> None:
    ending = "no manifest of it is in the commit"
    warnings = [
        (problem.file, problem.severity, problem.message) for problem in warn_of_stopped(LIVE, NOTHING, "manifests")
    ]
    assert warnings == [
        ("manifests", "warning", f"this deployment stops {problem}: {ending}")
        for problem in ("component a", "component b", "pipeline p", "API x")
    ]
    assert list(warn_of_stopped(LIVE, LIVE, "manifests")) == []
    assert list(warn_of_stopped(NOTHING, LIVE, "manifests")) == []


def test_much_that_stops_is_counted() -> None:
    many = replace(NOTHING, components={f"c{number:03}": COMPONENT for number in range(100)})
    *named, last = warn_of_stopped(many, NOTHING, "manifests")
    assert (len(named), last.message) == (MAX_STOPPED_WARNINGS, "and 80 more are stopped")


WEB_APP = b"""\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: page}
spec: {image: {existingImageName: "any/image:1"}, mlService: {app: "page:app"}}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: board}
spec: {mlComponent: {name: page}, restfulApi: {path: board, auth: AUTH}}
"""


@pytest.mark.parametrize(
    ("auth", "count"), [(b"{basic: {credentials: users}}", 1), (b"{apiKey: {}}", 1), (b"{none: {}}", 0)]
)
def test_a_web_application_whose_pages_cannot_work_is_told(auth: bytes, count: int) -> None:
    catalog, problems = check_manifests({"manifests/a.yml": WEB_APP.replace(b"AUTH", auth)}, None, ["users"])
    assert catalog is not None, problems
    warnings = list(warn_of_sandboxed_pages(catalog, "manifests"))
    assert len(warnings) == count
    for warning in warnings:
        assert "the pages of page do not work in browsers" in warning.message
        assert "password of API board; set MLMESH_APP_HOSTS" in warning.message
    assert list(warn_of_sandboxed_pages(LIVE, "manifests")) == []
