"""Which builds are equal, which images of before are used again, and what a rollout makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.manifests.build import Build
from libs.common.manifests.catalog import Catalog
from libs.common.protocol.build import BuildSpec
from libs.common.protocol.deployment import RolloutProblem
from services.scheduler.components import rollout_images
from services.scheduler.components.image_builds import BuildPlan, BuildSettings, choose_built
from services.scheduler.components.rollout_images import RequestedImage, compare_images
from services.scheduler.model.built_image import BuiltImage
from services.scheduler.model.reason import Reason
from services.scheduler.model.task import Task
from tests.scheduler.manifests import catalog

IMAGE = "sha256:" + "ab" * 32
MANIFESTS = b"""
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: digits}
spec:
  image: {build: {}}
  mlService: {inference: "module:echo"}
---
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: other}
spec:
  image: {build: {args: {FLAVOUR: gpu}}}
  mlService: {inference: "module:echo"}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: train}
spec:
  vars: []
  stages:
    - name: fit
      image: {build: {timeout: 2h}}
      resources: {gpu: 1}
      entryPoint: python one.py
"""
SETTINGS = BuildSettings("python:{python}-slim")
PLAN = BuildPlan("leaf", "2e" * 20, {".": "1f" * 20, "b": "2a" * 20}, SETTINGS)


def key(plan: BuildPlan = PLAN, **fields: Any) -> str:
    return plan.get_key(Build(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"context": "b"},
        {"dockerfile": "docker/cpu"},
        {"base": "debian:12"},
        {"packages": ("libgl1",)},
        {"args": {"A": "1"}},
        {"secrets": ("pip-login",)},
        {"network": "none"},
    ],
)
def test_what_goes_into_an_image_changes_its_key(fields: dict[str, Any]) -> None:
    assert key(**fields) != key()


def test_a_timeout_a_commit_and_the_order_of_arguments_do_not() -> None:
    assert key(timeout=60) == key()
    assert key(BuildPlan("leaf", "3f" * 20, PLAN.trees, SETTINGS)) == key()
    assert key(args={"A": "1", "B": "2"}) == key(args={"B": "2", "A": "1"})


def test_the_folder_and_the_meshs_settings_do() -> None:
    assert key(BuildPlan("leaf", PLAN.commit, {".": "0a" * 20}, SETTINGS)) != key()
    assert key(BuildPlan("leaf", PLAN.commit, PLAN.trees, BuildSettings("debian:12"))) != key()
    assert key(BuildPlan("leaf", PLAN.commit, PLAN.trees, BuildSettings(SETTINGS.base, "r.example/m"))) != key()


def test_equal_builds_share_one_image_where_all_can_run() -> None:
    first, second = sorted(rollout_images.list_requested_images(catalog(MANIFESTS), PLAN), key=lambda one: one.users)
    assert (first.name, first.users, first.needs_gpu) == (key(), ("digits", "train.fit"), True)
    assert isinstance(first.spec, BuildSpec)
    assert (first.kind, first.spec.timeout, first.spec.title, first.spec.repository) == ("build", 7200, "digits", None)
    assert (second.users, second.needs_gpu) == (("other",), False)


def test_an_image_is_pushed_below_the_name_of_its_app() -> None:
    plan = BuildPlan("leaf", PLAN.commit, PLAN.trees, BuildSettings("x", "r.example/m"))
    assert plan.build_spec(Build(), "digits").repository == f"r.example/m/leaf/{plan.get_key(Build())}"


@pytest.mark.parametrize(
    ("stored", "preferred", "chosen"),
    [
        ([], {}, []),
        ([("k", "here", "e1")], {}, ["here"]),
        ([("k", "away", "e9")], {}, []),
        ([("k", "pushed", "")], {}, ["pushed"]),
        ([("k", "first", "e1"), ("k", "second", "e2")], {}, ["first"]),
        ([("k", "first", "e1"), ("k", "second", "e2")], {"k": "second"}, ["second"]),
        ([("k", "first", "e1"), ("k", "away", "e9")], {"k": "away"}, ["first"]),
        ([("k", "here", "e1"), ("l", "too", "e2")], {}, ["here", "too"]),
    ],
)
def test_an_image_of_before_is_used_where_a_worker_can_run_it(
    stored: list[tuple[str, str, str]], preferred: dict[str, str], chosen: list[str]
) -> None:
    built = [BuiltImage(key=key, image=image, engine=engine, log="l") for key, image, engine in stored]
    assert [one.image for one in choose_built(built, frozenset({"e1", "e2"}), preferred)] == chosen


def requested() -> RequestedImage:
    (image,) = [one for one in rollout_images.list_requested_images(catalog(MANIFESTS), PLAN) if one.name == key()]
    return image


def build_task(**fields: Any) -> Task:
    return Task(**{
        "id": "m_1", "kind": "build", "app": "leaf", "name": "digits", "state": "claimed", "created_at": 1.0,
        "fingerprint": key(), "spec": requested().spec, "attempt": 2, **fields,
    })  # fmt: skip


def test_the_step_says_what_is_built() -> None:
    def line(*tasks: Task) -> str:
        return rollout_images.progress_line(compare_images([requested()], {}, tasks))

    assert line() == "building 1 of 1: digits: waits for a worker"
    assert line(build_task()) == "building 1 of 1: digits: begins"
    assert line(build_task(detail="[3/5] RUN pip")) == "building 1 of 1: digits: [3/5] RUN pip"
    assert rollout_images.result_line({key(): IMAGE}, [requested()]) == "digits, train.fit is sha256:abababababab"


def test_a_failed_build_is_an_error_with_its_last_lines() -> None:
    task = build_task(state="failed", reason=Reason("build", "No matching distribution"), log_tail=["a", "b"])
    assert rollout_images.image_error(task) == RolloutProblem(
        message="build of digits: No matching distribution", reason="build", log_tail=("a", "b")
    )


def test_the_log_of_a_build_is_that_of_its_newest_attempt_or_of_the_build_before() -> None:
    built = [BuiltImage(key=key(), image=IMAGE, engine="e", log="builds/m_0/1")]
    assert rollout_images.find_logs([requested()], [], built) == {
        "digits": "builds/m_0/1", "train.fit": "builds/m_0/1",
    }  # fmt: skip
    assert rollout_images.find_logs([requested()], [build_task()], [])["digits"] == "builds/m_1/2"
    assert rollout_images.find_logs([requested()], [build_task(attempt=0)], []) == {}


def test_the_catalog_names_what_was_built() -> None:
    stored = {**catalog(MANIFESTS).to_json()}
    pinned = Catalog.from_json(rollout_images.pin_images(stored, {key(): IMAGE}, PLAN))
    images = {name: component.spec.image for name, component in pinned.components.items()}
    assert (images["digits"].existing_image_name, images["digits"].build) == (IMAGE, None)
    assert images["other"].build is not None
    assert pinned.pipelines["train"].spec.stages[0].image.existing_image_name == IMAGE


def test_an_app_has_a_limited_number_of_builds_at_a_time() -> None:
    images = [RequestedImage(f"k{n}", None, needs_gpu=False, build=PLAN.build_spec(Build(), "x")) for n in range(30)]
    pulled = RequestedImage("team/app:1", None, needs_gpu=False)
    waiting = [build_task(id=f"m_{number}", fingerprint=f"k{number}") for number in range(15)]
    progress = compare_images([*images, pulled], {}, waiting)
    assert [image.name for image in rollout_images.select_next(progress)] == [
        "team/app:1", "k15", "k16", "k17", "k18", "k19",
    ]  # fmt: skip
