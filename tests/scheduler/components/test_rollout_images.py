"""Which images a rollout asks for, what their tasks mean, and how a catalog names exact ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from libs.common.manifests.catalog import Catalog
from libs.common.protocol.deployment import RolloutProblem
from libs.common.protocol.image import ImageSpec
from services.scheduler.components import rollout_images
from services.scheduler.components.image_builds import BuildPlan, BuildSettings
from services.scheduler.components.rollout_images import RequestedImage, compare_images
from services.scheduler.model.reason import Reason
from services.scheduler.model.task import Task, TaskResult
from services.scheduler.model.worker import Worker
from tests.scheduler.manifests import catalog, catalog_json

ALL_KINDS = ["stage", "instance", "image"]
APP = RequestedImage("team/app:1", None, needs_gpu=False)
TOOL = RequestedImage("team/tool:2", "login", needs_gpu=False)
PLAN = BuildPlan("leaf", "2e" * 20, {}, BuildSettings("python:3.12"))
EXACT = "team/app@sha256:" + "ab" * 32
MANIFESTS = b"""
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: echo}
spec:
  image: {existingImageName: "team/app:1"}
  mlService: {inference: "module:echo"}
---
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: vision}
spec:
  image: {existingImageName: "team/cuda:1", credentials: login}
  resources: {gpu: 1}
  mlService: {inference: "module:see"}
---
apiVersion: mlmesh/v1
kind: Secret
metadata: {name: login}
spec: {keys: [username, password]}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: train}
spec:
  vars: []
  stages:
    - name: one
      image: {existingImageName: "team/app:1", credentials: login}
      entryPoint: python one.py
    - name: two
      image: {existingImageName: "team/tool:2"}
      entryPoint: python two.py
    - name: three
      image: {existingImageName: "team/tool:2"}
      resources: {gpu: 1}
      entryPoint: python three.py
"""


def image_task(image: RequestedImage, state: Any, **fields: Any) -> Task:
    return Task(**{
        "id": image.task_name, "kind": "image", "app": "leaf", "name": image.task_name, "state": state,
        "created_at": 1.0, "fingerprint": image.fingerprint, "spec": image.spec, **fields,
    })  # fmt: skip


def worker(
    *classes: str,
    kinds: list[str] | None = ALL_KINDS,
    seen_at: float = 100.0,
) -> Worker:
    return Worker(name="w", host="h", classes=list(classes), slots=1, free=1, labels={}, draining=False,
                  seen_at=seen_at, kinds=kinds)  # fmt: skip


def test_each_image_of_components_and_stages_is_asked_for_once() -> None:
    assert rollout_images.list_requested_images(catalog(MANIFESTS), PLAN) == [
        RequestedImage("team/app:1", "login", needs_gpu=False),
        RequestedImage("team/cuda:1", "login", needs_gpu=True),
        RequestedImage("team/tool:2", None, needs_gpu=False),
    ]


@pytest.mark.parametrize(
    ("known", "tasks", "images", "missing", "pending", "failed", "unwanted"),
    [
        ({}, [], {}, ["team/app:1", "team/tool:2"], [], [], []),
        ({"team/app:1": EXACT}, [], {"team/app:1": EXACT}, ["team/tool:2"], [], [], []),
        (
            {},
            [image_task(APP, "claimed"), image_task(TOOL, "ready")],
            {},
            [],
            ["app:1", "tool:2"],
            [],
            [],
        ),
        (
            {},
            [image_task(APP, "succeeded", result=TaskResult(image=EXACT)), image_task(TOOL, "failed")],
            {"team/app:1": EXACT},
            [],
            [],
            ["tool:2"],
            [],
        ),
        (
            {"team/app:1": EXACT, "team/gone:1": "x"},
            [image_task(APP, "claimed"), image_task(TOOL, "claimed")],
            {"team/app:1": EXACT},
            [],
            ["tool:2"],
            [],
            ["app:1"],
        ),
        (
            {},
            [
                image_task(APP, "claimed", stop_requested=True),
                image_task(TOOL, "stopped"),
                image_task(RequestedImage("team/gone:1", None, needs_gpu=False), "ready"),
            ],
            {},
            ["team/app:1", "team/tool:2"],
            [],
            [],
            ["gone:1"],
        ),
        (
            {},
            [image_task(RequestedImage("team/app:1", "other", needs_gpu=False), "claimed")],
            {},
            ["team/app:1", "team/tool:2"],
            [],
            [],
            ["app:1"],
        ),
    ],
    ids=["new", "known", "open", "ended", "known-and-open", "stopping", "other-credentials"],
)
def test_tasks_are_compared_with_what_the_rollout_wants(
    known: Mapping[str, str], tasks: list[Task], images: Any, missing: Any, pending: Any, failed: Any, unwanted: Any
) -> None:
    progress = compare_images([APP, TOOL], known, tasks)
    assert progress.images == images
    assert [image.name for image in progress.missing] == missing
    assert [task.name for task in progress.pending] == pending
    assert [task.name for task in progress.failed] == failed
    assert [task.name for task in progress.unwanted] == unwanted
    assert not progress.is_complete


def test_a_rollout_without_images_is_complete_and_wants_no_task() -> None:
    progress = compare_images([], {"team/app:1": EXACT}, [image_task(APP, "ready")])
    assert (progress.is_complete, progress.images) == (True, {})
    assert [task.name for task in progress.unwanted] == ["app:1"]


@pytest.mark.parametrize(
    ("known", "tasks", "line"),
    [
        ({}, [], "pulling 1 of 2: team/app:1: waits for a worker; team/tool:2: waits for a worker"),
        (
            {"team/app:1": EXACT},
            [image_task(TOOL, "claimed", detail="pulling team/tool:2: 3 of 7 layers")],
            "pulling 2 of 2: team/tool:2: pulling team/tool:2: 3 of 7 layers",
        ),
        (
            {},
            [image_task(APP, "claimed"), image_task(TOOL, "ready")],
            "pulling 1 of 2: team/app:1: asks the engine; team/tool:2: waits for a worker",
        ),
    ],
)
def test_the_step_says_how_far_it_is(known: Mapping[str, str], tasks: list[Task], line: str) -> None:
    assert rollout_images.progress_line(compare_images([APP, TOOL], known, tasks)) == line


def test_the_step_says_what_the_names_mean() -> None:
    line = rollout_images.result_line({"team/tool:2": "sha256:" + "cd" * 32, "team/app:1": EXACT})
    assert line == "team/app:1 is sha256:abababababab; team/tool:2 is sha256:cdcdcdcdcdcd"


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        (
            Reason("image", "cannot pull the image team/app:1: denied"),
            RolloutProblem(message="cannot pull the image team/app:1: denied", reason="image"),
        ),
        (
            Reason("secrets", "Secret login has no value"),
            RolloutProblem(message="image team/app:1: Secret login has no value", reason="secrets"),
        ),
        (Reason("image", None), RolloutProblem(message="image team/app:1: it cannot be had", reason="image")),
        (None, RolloutProblem(message="image team/app:1: it cannot be had", reason="image")),
    ],
)
def test_an_image_that_cannot_be_had_is_an_error_of_the_deployment(
    reason: Reason | None, problem: RolloutProblem
) -> None:
    assert rollout_images.image_error(image_task(APP, "failed", reason=reason)) == problem


@pytest.mark.parametrize(
    ("needs_gpu", "workers", "resource_class"),
    [
        (False, [], "cpu"),
        (True, [], "gpu"),
        (False, [worker("cpu", "gpu")], "cpu"),
        (True, [worker("cpu", "gpu")], "gpu"),
        (True, [worker("cpu")], "cpu"),
        (False, [worker("gpu")], "gpu"),
        (False, [worker("cpu", kinds=None), worker("gpu")], "gpu"),
        (True, [worker("cpu"), worker("gpu", kinds=["stage"])], "cpu"),
    ],
)
def test_an_image_is_pulled_where_an_engine_is(needs_gpu: bool, workers: list[Worker], resource_class: str) -> None:
    assert RequestedImage("a:1", None, needs_gpu=needs_gpu).choose_class(workers) == resource_class


def test_workers_that_are_away_count_only_while_nobody_is_there() -> None:
    away, present = worker("cpu", seen_at=1.0), worker("cpu", kinds=None, seen_at=99.0)
    assert rollout_images.select_workers([away, present], 100.0) == [present]
    assert rollout_images.select_workers([away], 100.0) == [away]
    assert rollout_images.select_workers([], 100.0) == []
    assert [away.has_engine, present.has_engine] == [True, False]


def test_a_catalog_names_exact_images_in_the_place_of_their_names() -> None:
    stored = {**catalog(MANIFESTS).to_json()}
    pinned = Catalog.from_json(
        rollout_images.pin_images(stored, {"team/app:1": EXACT, "team/tool:2": "sha256:" + "cd" * 32}, PLAN)
    )
    assert pinned.components["echo"].spec.image.existing_image_name == EXACT
    assert pinned.components["vision"].spec.image.existing_image_name == "team/cuda:1"
    stages = pinned.pipelines["train"].spec.stages
    assert [stage.image.existing_image_name for stage in stages] == [EXACT, *["sha256:" + "cd" * 32] * 2]
    assert stages[0].image.credentials == "login"
    assert stored == {**catalog(MANIFESTS).to_json()}


def test_a_catalog_without_exact_images_stays_as_it_is() -> None:
    assert rollout_images.pin_images(catalog_json(), {}, PLAN) == catalog_json()


def test_a_task_has_the_end_of_a_long_name() -> None:
    assert RequestedImage("host.example/team/" + "a" * 100 + ":1", None, needs_gpu=False).task_name == "a" * 63
    assert APP.spec == ImageSpec(image="team/app:1", image_credentials=None)
