"""Submissions become run plans, and run plans become stage specs."""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.errors import Invalid
from libs.common.identity import ANONYMOUS
from libs.common.locations import Location
from libs.common.manifests.apicomponent import ApiSpec
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task
from services.scheduler.plans import planner, submission, submitted_values
from services.scheduler.plans.planner import build_stage_tasks
from tests.scheduler.manifests import catalog

NO_PLACE = (
    'must name a file or folder in a box, <box>/<group>/<file>, without ".", ".." and empty parts; what is on'
    " your machine comes there with: mlmesh box put"
)
ALICE = submitted_values.Submitter("leaf", "alice", {"data", "other"})


def submit(body: Any, user: submitted_values.Submitter = ALICE, *, required: bool = True) -> submission.Submission:
    app_catalog = catalog()
    spec = app_catalog.apis["train"].spec.api_spec or ApiSpec()
    if not required:
        spec = spec.model_copy(
            update={"inputs": [api_input.model_copy(update={"required": False}) for api_input in spec.inputs]}
        )
    chain = [app_catalog.pipelines["train"]]
    return submission.parse_submission(
        chain, spec, body, user=user, commit="c0ffee", run="r_1", config_maps=app_catalog.config_maps
    )


def make_run(body: Any) -> Run:
    parsed = submit(body)
    return Run(id="r_1", app="leaf", pipeline="train", user="alice", status="queued", plan=parsed.plan, created_at=1.0)


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ([], None),
        ({}, [("raw", "is required and missing")]),
        ({"inputs": {"raw": "in/a.csv", "x": 1}}, [("x", "is not an input; inputs are raw, rate")]),
        ({"inputs": {"raw": 5}}, [("raw", "must be FILE, not 5")]),
        ({"inputs": {"raw": "in/a.csv", "rate": "fast"}}, [("rate", 'must be FP64, not "fast"')]),
        ({"inputs": {"raw": "in/a.csv", "rate": True}}, [("rate", "must be FP64, not true")]),
        ({"inputs": {"raw": "in/a.csv", "rate": {"a": 1}}}, [("rate", "must be FP64, not an object")]),
        ({"inputs": {"raw": "in/a.csv", "rate": "x" * 100}}, [("rate", f'must be FP64, not "{"x" * 79}…')]),
        ({"inputs": {"raw": "a.csv"}}, [("raw", "must be <group>/<file>, or <box>/<group>/<file>")]),
        ({"inputs": {"raw": "../a"}}, [("raw", NO_PLACE)]),
        ({"inputs": {"raw": "/etc/passwd"}}, [("raw", NO_PLACE)]),
        ({"inputs": {"raw": "g/a\0b"}}, [("raw", "'a\\x00b': a name may not hold control characters")]),
        (
            {"inputs": {"raw": "g/" + "a" * 256}},
            [("raw", f"'{'a' * 80}\\u2026': a name may have at most 255 bytes")],
        ),
        (
            {"inputs": {"raw": "other/g/a"}},
            [("raw", "box other is not connected to this pipeline; connected are data")],
        ),
        ({"inputs": {"raw": "g/a"}, "outputs": {"y": "o"}}, [("y", "is not an output; outputs are model")]),
        ({"inputs": {"raw": "g/a"}, "outputs": {"model": 3}}, [("model", "must be the name of a folder")]),
        (
            {"inputs": {"raw": "g/a"}, "priority": 11},
            [("priority", "must be a whole number from -10 to 10")],
        ),
        ({"inputs": {"raw": "g/a"}, "callback": {}}, [("callback", "must be {url, events?, headers?}")]),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_what_to_write(body: Any, errors: Any) -> None:
    with pytest.raises(Invalid) as caught:
        submit(body)
    listed = caught.value.extensions.get("errors")
    assert (listed and [(error["input"], error["message"]) for error in listed]) == errors


@pytest.mark.parametrize(
    ("value", "boxes", "folder", "expected"),
    [
        ("in/a.csv", ["data"], False, Location(box="data", user="u", group="in", file="a.csv")),
        ("data/in/a.csv", ["data", "other"], False, Location(box="data", user="u", group="in", file="a.csv")),
        ("in/deep/a.csv", ["data"], False, Location(box="data", user="u", group="in/deep", file="a.csv")),
        ("in/", ["data"], True, Location(box="data", user="u", group="in")),
        ("data/in", ["data", "other"], True, Location(box="data", user="u", group="in")),
    ],
)
def test_places_are_read_with_and_without_the_box(
    value: str, boxes: list[str], folder: bool, expected: Location
) -> None:
    area = submitted_values.BoxAccess(submitted_values.Submitter("leaf", "u", {"data", "other"}), boxes)
    assert submitted_values.parse_location(value, area, folder=folder) == expected


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("a%2Fb", "'a%2Fb': a name may not hold a slash or backslash"),
        ("a\\b", r"'a\\b': a name may not hold a slash or backslash"),
        ("g/a\x85b", r"'g/a\x85b': a name may not hold control characters"),
        ("%2e%2e", "'%2e%2e': a segment may not be . or .."),
        ("g/" + "\u00e9" * 128, "at most 255 bytes"),
        ("/".join(["a" * 200] * 6), "the path is too long: with its box and user it may have 1024 bytes"),
        ("other/x/", "box other is not connected to this pipeline; connected are data"),
        ("other", "box other is not connected to this pipeline; connected are data"),
    ],
)
def test_an_output_folder_that_could_not_be_published_is_refused_before_the_work(folder: str, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        submit({"inputs": {"raw": "g/a"}, "outputs": {"model": folder}})
    [error] = caught.value.extensions["errors"]
    assert (error["input"], error["message"].endswith(sentence)) == ("model", True), error


def test_who_has_no_files_gets_outputs_with_the_run() -> None:
    nobody = submitted_values.Submitter("leaf", ANONYMOUS, {"data", "other"})
    assert submit({"inputs": {"rate": 1.0}}, nobody, required=False).plan.targets == {}
    with pytest.raises(Invalid, match="model: a caller without credentials has no files"):
        submit({"inputs": {"rate": 1.0}, "outputs": {"model": "g"}}, nobody, required=False)


def test_an_output_without_a_folder_goes_to_the_only_box() -> None:
    assert submit({"inputs": {"raw": "g/a"}}).plan.targets == {
        "model": Location(box="data", user="alice", group="runs/r_1/model")
    }


def test_stages_without_inputs_from_others_are_ready_at_once() -> None:
    stages = build_stage_tasks(make_run({"inputs": {"raw": "g/a"}}))
    assert [(task.name, task.state) for task in stages] == [("prepare", "ready"), ("train", "waiting")]


def claimed(task: Task, token: int) -> Task:
    return Task(**{**task.__dict__, "token": token, "attempt": token})


def test_the_order_of_a_first_stage_names_the_callers_files_and_values() -> None:
    run = make_run({"inputs": {"raw": "g/a.csv", "rate": 0.5}})
    prepare, train = build_stage_tasks(run)
    order = planner.build_stage_spec(run, claimed(prepare, 3), {"prepare": prepare, "train": train}).to_json()
    assert order["inputs"] == [
        {"name": "raw", "kind": "file", "source": {"box": "data", "user": "alice", "group": "g", "file": "a.csv"}},
        {"name": "rate", "kind": "value", "value": 0.5, "suffix": ".json", "source": None},
    ]
    assert order["outputs"] == [{"name": "features", "target": {"area": "runs/r_1/prepare/3/features"}}]
    assert (order["entry_point"], order["log"]) == (["python", "prepare.py"], "runs/r_1/prepare/3")


def test_an_optional_input_that_was_not_given_is_left_out() -> None:
    run = make_run({"inputs": {"raw": "g/a.csv"}})
    prepare, train = build_stage_tasks(run)
    order = planner.build_stage_spec(run, claimed(prepare, 1), {"prepare": prepare, "train": train}).to_json()
    assert [stage_input["name"] for stage_input in order["inputs"]] == ["raw"]


def test_a_later_stage_reads_what_the_accepted_attempt_left() -> None:
    run = make_run({"inputs": {"raw": "g/a.csv"}})
    prepare, train = build_stage_tasks(run)
    order = planner.build_stage_spec(run, claimed(train, 1), {"prepare": claimed(prepare, 4), "train": train}).to_json()
    assert order["inputs"] == [
        {"name": "features", "kind": "folder", "source": {"area": "runs/r_1/prepare/4/features"}}
    ]


def test_only_outputs_of_the_api_are_published() -> None:
    run = make_run({"inputs": {"raw": "g/a.csv"}, "outputs": {"model": "weights"}})
    prepare, train = build_stage_tasks(run)
    assert planner.publication_moves(run, claimed(prepare, 1)) == []
    assert [move.to_json() for move in planner.publication_moves(run, claimed(train, 2))] == [
        {
            "source": {"area": "runs/r_1/train/2/model"},
            "target": {"box": "data", "user": "alice", "group": "weights"},
        }
    ]
