from __future__ import annotations

import json
from typing import Any

from services.cli.times import format_age
from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

STARTED: dict[str, Any] = {
    "id": "d1",
    "commit": None,
    "author": None,
    "status": "pending",
    "steps": [],
    "errors": [],
    "warnings": [],
}
LIVE = {
    **STARTED,
    "commit": "0123456789abcdef",
    "author": "Ada",
    "message": "first\n\nand why",
    "status": "live",
    "live_at": "2026-01-01T00:00:00.000Z",
}
STEP = {"name": "fetch", "status": "succeeded", "detail": "main"}


def test_apps_are_a_table(run: Run, mesh: FakeMesh) -> None:
    item = {"name": "a", "title": "An app", "live": LIVE, "newest": {**LIVE, "status": "failed"}}
    mesh.set_replies(
        "GET", "/api/v1/apps", {"items": [item, {"name": "b", "title": "", "live": None, "newest": None}], "next": None}
    )
    lines = [line.split() for line in run("app", "list").out.splitlines()]
    assert lines == [
        ["NAME", "TITLE", "STATUS", "LIVE", "LIVE", "SINCE"],
        ["a", "An", "app", "failed", "0123456789", *format_age(LIVE["live_at"]).split()],
        ["b"],
    ]


def test_one_app_is_shown_with_its_addresses_and_reasons(run: Run, mesh: FakeMesh) -> None:
    app = {
        "name": "a", "title": "An app", "repository": {"url": "file:///r", "branch": "main"},
        "live": LIVE, "newest": LIVE,
        "apis": [{"name": "digits", "url": "http://m/a/digits/predict", "docs": "http://m/a/digits/docs"}],
        "components": [{"name": "c", "status": "waiting", "reason": {"code": "model_missing", "detail": "w/m"}}],
        "boxes": [{"name": "w", "used": 1500, "capacity": 10**9, "detached": False}],
        "unavailable": [{"service": "databox", "detail": "cannot be reached"}],
    }  # fmt: skip
    mesh.set_replies("GET", "/api/v1/apps/a", app)
    assert run("app", "show", "a").out.splitlines() == [
        "app          a",
        "title        An app",
        "repository   file:///r (main)",
        f"live         0123456789  {format_age(LIVE['live_at'])}",
        "api          digits  http://m/a/digits/predict",
        "docs         digits  http://m/a/digits/docs",
        "component    c  waiting  model_missing: w/m",
        "box          w  1.5 kB of 1.0 GB",
        "unavailable  databox: cannot be reached",
    ]
    assert json.loads(run("app", "show", "a", "--json").out) == app


def test_the_poll_error_of_a_repository_is_shown(run: Run, mesh: FakeMesh) -> None:
    why = "branch main is not there any more; the repository has: trunk"
    items = [{"name": "a", "title": "", "live": None, "newest": None, "poll_error": why}, {"name": "b"}]
    mesh.set_replies("GET", "/api/v1/apps", {"items": items, "next": None})
    first, second, *_ = run("app", "list").out.splitlines()
    assert (first.split()[-1], second.split()[:2]) == ("PROBLEM", ["a", "branch"])
    mesh.set_replies("GET", "/api/v1/apps/a", {"name": "a", "repository": {"url": "file:///r", "poll_error": why}})
    assert run("app", "show", "a").out.splitlines()[2] == f"problem     {why}"


def test_a_forge_that_takes_no_statuses_is_shown(run: Run, mesh: FakeMesh) -> None:
    repository = {"url": "file:///r", "poll_error": None, "status_error": "Gitea answered 401 to a commit status"}
    mesh.set_replies("GET", "/api/v1/apps/a", {"name": "a", "repository": repository})
    problem = run("app", "show", "a").out.splitlines()[2]
    assert problem == "problem     statuses are not delivered: Gitea answered 401 to a commit status"


def test_the_tags_that_are_followed_are_shown(run: Run, mesh: FakeMesh) -> None:
    repository = {"url": "file:///r", "branch": None, "tags": "v*"}
    mesh.set_replies("GET", "/api/v1/apps/a", {"name": "a", "repository": repository})
    assert run("app", "show", "a").out.splitlines()[1] == "repository  file:///r (tags v*)"


def test_sync_waits_until_it_is_live(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/api/v1/apps/a/sync", Reply(202, STARTED))
    mesh.set_replies("GET", "/api/v1/apps/a/deployments/d1", STARTED, {**LIVE, "steps": [STEP]})
    done = run("app", "sync", "a", "--wait")
    live = "deployment d1  live  0123456789  Ada  first\n  fetch        succeeded           main\n"
    assert (done.code, done.out, done.err) == (0, live, "deployment d1  pending\n" + live)


def test_a_deployment_that_needs_a_person_is_not_waited_for(run: Run, mesh: FakeMesh) -> None:
    step = {"name": "secrets", "status": "waiting", "detail": 'secret "users" has no value; set it'}
    mesh.set_replies("POST", "/api/v1/apps/a/sync", Reply(202, STARTED))
    mesh.set_replies("GET", "/api/v1/apps/a/deployments/d1", {**STARTED, "steps": [step]})
    done = run("app", "sync", "a", "--wait")
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        'mlmesh: deployment d1 waits: secret "users" has no value; set it; then it goes on by itself'
    )


def test_a_wait_has_an_end(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/api/v1/apps/a/sync", Reply(202, STARTED))
    mesh.set_replies("GET", "/api/v1/apps/a/deployments/d1", STARTED)
    done = run("app", "sync", "a", "--wait", "--timeout", "0.5s")
    assert (done.code, done.err.splitlines()[-1]) == (
        1, "mlmesh: deployment d1 is still pending after 0.5 s, and goes on; see: mlmesh deployment show a d1",
    )  # fmt: skip
    assert run("app", "sync", "a", "--wait", "--timeout", "soon").code == 2


def test_a_deployment_that_fails_is_exit_code_1_with_its_errors(run: Run, mesh: FakeMesh) -> None:
    error = {"file": "manifests/a.yml", "line": 3, "column": 5, "message": "a typo"}
    mesh.set_replies("POST", "/api/v1/apps/a/sync", Reply(202, STARTED))
    mesh.set_replies("GET", "/api/v1/apps/a/deployments/d1", {**LIVE, "status": "failed", "errors": [error]})
    done = run("app", "sync", "a", "--wait")
    assert done.code == 1
    assert done.err.splitlines()[-1] == "mlmesh: deployment d1 failed; see: mlmesh deployment show a d1"
    assert "  error: manifests/a.yml:3:5: a typo\n" in done.out
    assert "a typo" not in done.err


def test_the_newest_deployment_is_shown_by_default(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("GET", "/api/v1/apps/a/deployments", {"items": [LIVE], "next": None})
    mesh.set_replies("GET", "/api/v1/apps/a/deployments/d1", LIVE)
    assert run("deployment", "show", "a").out == "deployment d1  live  0123456789  Ada  first\n"


def test_an_app_without_deployment_says_what_to_do(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("GET", "/api/v1/apps/a/deployments", {"items": [], "next": None})
    done = run("deployment", "show", "a")
    assert (done.code, done.out) == (1, "")
    assert "push to its repository, or type: mlmesh app sync a" in done.err


def test_a_rollback_names_the_deployment_to_go_to(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/api/v1/apps/a/rollback", Reply(202, STARTED))
    run("deployment", "rollback", "a", "d0")
    run("deployment", "rollback", "a")
    assert [request.json() for request in mesh.requests] == [{"deployment": "d0"}, {}]


def test_an_app_is_not_deleted_without_a_yes(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("DELETE", "/api/v1/apps/a", Reply(204))
    mesh.set_replies("GET", "/api/v1/apps/a", {"name": "a"})
    assert run("app", "delete", "a").code == 1
    assert [request.method for request in mesh.requests] == ["GET"]
    assert run("app", "delete", "a", "--yes").out == "a is deleted; its boxes keep their data\n"
    assert [request.method for request in mesh.requests] == ["GET", "GET", "DELETE"]


def test_deleting_a_missing_app_fails_without_a_question(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("GET", "/api/v1/apps/nope", Reply(404, {"detail": "no app nope"}))
    done = run("app", "delete", "nope")
    assert (done.code, done.out, done.err) == (1, "", "mlmesh: no app nope\n")


def test_further_lines_of_a_reason_stand_below_the_first(run: Run, mesh: FakeMesh) -> None:
    step = {"name": "start", "status": "failed", "detail": "pip says\nno such package"}
    deployment = {**LIVE, "status": "failed", "steps": [step], "errors": [{"message": "pip says\nno such package"}]}
    mesh.set_replies("GET", "/api/v1/apps/a/deployments/d1", deployment)
    assert run("deployment", "show", "a", "d1").out.splitlines()[1:] == [
        "  start        failed",
        "  error: pip says", "    | no such package",
    ]  # fmt: skip


DELIVERY: dict[str, Any] = {
    "id": "d-1", "received_at": "2026-01-01T00:00:00.000Z", "forge": "gitea", "event": "push", "ref": "refs/heads/main",
    "delivery": "d-1", "status": 202, "deployment": "d1", "failed": None,
}  # fmt: skip


def test_deliveries_are_a_table_with_what_to_set(run: Run, mesh: FakeMesh) -> None:
    failed = {"check": "X-Gitea-Signature", "detail": "it does not fit"}
    refused = {**DELIVERY, "id": "r1", "ref": None, "status": 401, "deployment": None, "failed": failed}
    mesh.set_replies("GET", "/api/v1/apps/a/deliveries", {"items": [refused, DELIVERY], "next": None})
    age = format_age(DELIVERY["received_at"]).split()
    assert [line.split() for line in run("app", "deliveries", "a").out.splitlines()] == [
        ["ID", "RECEIVED", "FORGE", "EVENT", "REF", "ANSWER", "DEPLOYMENT", "REASON"],
        ["r1", *age, "gitea", "push", "401", "it", "does", "not", "fit"],
        ["d-1", *age, "gitea", "push", "refs/heads/main", "202", "d1"],
    ]
    assert json.loads(run("app", "deliveries", "a", "--json").out) == [refused, DELIVERY]


def test_a_redelivery_is_waited_for_like_a_sync(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/api/v1/apps/a/deliveries/%7B1%7D/redeliver", Reply(202, STARTED))
    mesh.set_replies("GET", "/api/v1/apps/a/deployments/d1", LIVE)
    assert run("app", "redeliver", "a", "{1}").out == "deployment d1  pending\n"
    assert run("app", "redeliver", "a", "{1}", "--wait").out == "deployment d1  live  0123456789  Ada  first\n"


def test_an_app_from_a_template_is_followed_and_its_clone_address_told(run: Run, mesh: FakeMesh) -> None:
    created = {"name": "a", "newest": STARTED, "deployment": "d1", "clone": "http://m/git/a.git"}
    mesh.set_replies("POST", "/api/v1/apps", Reply(201, created))
    mesh.set_replies("GET", "/api/v1/apps/a/deployments/d1", LIVE)
    done = run("app", "create", "a", "--template", "image", "--title", "A b", "--parameter", "size=9", "--wait")
    assert done.code == 0, done.err
    assert "live" in done.out
    clone = "git clone --config credential.helper='!mlmesh git-credential' http://m/git/a.git"
    assert f"its repository: {clone}" in done.err
    sent = mesh.requests[0].json()
    assert sent == {"name": "a", "template": "image", "parameters": {"size": "9"}, "title": "A b"}


def test_an_app_without_a_template_is_told_where_to_push(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/api/v1/apps", Reply(201, {"name": "a"}))
    done = run("app", "create", "a")
    assert done.out == f"a is there, without a repository; push one with: git push {mesh.url}/git/a.git main\n"
