from __future__ import annotations

from typing import Any

import pytest

from services.cli.deployment_view import change_lines, deployment_lines, describe_cause
from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh

DEPLOYMENT: dict[str, Any] = {
    "id": "d2", "app": "leaf", "commit": "0123456789abcdef", "author": "Ada", "message": "first\n\nand why",
    "trigger": "push", "caused_by": "token ci", "repeats": None, "status": "failed",
    "created_at": "2026-01-01T00:00:00.000Z",
    "steps": [
        {"name": "fetch", "status": "succeeded", "detail": "commit 0123", "started_at": "2026-01-01T00:00:00.000Z",
         "finished_at": "2026-01-01T00:00:00.500Z"},
        {"name": "validate", "status": "failed", "detail": "a typo", "started_at": "2026-01-01T00:00:00.500Z",
         "finished_at": "2026-01-01T00:00:03.500Z"},
    ],
    "errors": [
        {"file": "a.yml", "line": 1, "column": 2, "message": "it ended: a typo", "log_tail": ["trace", "a typo"]}
    ], "warnings": [],
}  # fmt: skip
CHANGES: dict[str, Any] = {
    "since": "d1",
    "items": [
        {"kind": "MLComponent", "name": "digits", "action": "changed", "data_kept": False, "fields": [
            {"field": "spec.resources.memory", "before": "1Gi", "after": "2Gi"},
            {"field": "metadata.labels.team", "before": None, "after": "a\nb"},
        ]},
        {"kind": "DataBox", "name": "weights", "action": "removed", "data_kept": True, "fields": []},
    ],
    "omitted": 3,
}  # fmt: skip


def test_a_deployment_is_told_with_its_cause_its_steps_and_each_error_once() -> None:
    assert list(deployment_lines(DEPLOYMENT)) == [
        "deployment d2  failed  0123456789  Ada  first",
        "  push, by token ci, 2026-01-01 00:00:00 UTC",
        "  fetch        succeeded    0.5 s  commit 0123",
        "  validate     failed         3 s",
        "  error: a.yml:1:2: it ended: a typo",
        "    | trace",
    ]


def test_the_tag_stands_behind_the_commit() -> None:
    (line, *_) = deployment_lines({"id": "d2", "status": "live", "commit": "0123456789abcdef", "tag": "v1.2"})
    assert line == "deployment d2  live  0123456789  v1.2"


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"trigger": "poll", "caused_by": "poll"}, "poll, 2026-01-01 00:00:00 UTC"),
        ({"trigger": "push", "caused_by": None}, "push, 2026-01-01 00:00:00 UTC"),
        ({"trigger": "rollback", "repeats": {"app": "leaf", "deployment": "d1"}},
         "rollback to deployment d1, by token ci, 2026-01-01 00:00:00 UTC"),
        ({"trigger": "promotion", "repeats": {"app": "staging", "deployment": "d9"}},
         "promotion from deployment d9 of staging, by token ci, 2026-01-01 00:00:00 UTC"),
    ],
)  # fmt: skip
def test_what_caused_a_deployment_is_one_line(fields: dict[str, Any], cause: str) -> None:
    assert describe_cause({**DEPLOYMENT, **fields}) == cause


def test_changes_have_a_line_for_each_manifest_and_field() -> None:
    assert list(change_lines(CHANGES)) == [
        "  ~ MLComponent digits changed",
        "      digits.resources.memory: 1Gi → 2Gi",
        "      digits.metadata.labels.team: (none) → a\\nb",
        "  - DataBox weights removed; its data is kept",
        "  and 3 more changes",
    ]


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        (CHANGES, "changes of manifests since deployment d1:"),
        ({"since": "d1", "items": [], "omitted": 0}, "changes of manifests since deployment d1: none"),
        ({"since": None, "items": CHANGES["items"], "omitted": 0}, "changes of manifests of the first deployment:"),
    ],
)
def test_show_ends_with_what_the_deployment_changes(run: Run, mesh: FakeMesh, changes: Any, title: str) -> None:
    mesh.set_replies("GET", "/api/v1/apps/leaf/deployments/d2", {**DEPLOYMENT, "changes": changes})
    lines = run("deployment", "show", "leaf", "d2").out.splitlines()
    assert lines[6:] == [title, *change_lines(changes)]


@pytest.mark.parametrize(("live_at", "status"), [("2026-01-01T00:00:00.000Z", "replaced"), (None, "superseded")])
def test_a_deployment_that_was_live_is_replaced_and_another_superseded(
    run: Run, mesh: FakeMesh, live_at: str | None, status: str
) -> None:
    deployment = {**DEPLOYMENT, "status": "superseded", "live_at": live_at}
    mesh.set_replies("GET", "/api/v1/apps/leaf/deployments", {"items": [deployment], "next": None})
    assert run("deployment", "list", "leaf").out.splitlines()[1].split()[:2] == ["d2", status]
    assert next(deployment_lines(deployment)).startswith(f"deployment d2  {status}  ")
