from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from services.cli.lazy_commands import COMMAND_GROUPS, COMMANDS, import_command
from tests.cli.conftest import CommandResult, Run
from tests.cli.fake_mesh import FakeMesh, Reply

CONTRACT = {
    "app": {"list", "show", "sync", "delete"},
    "deployment": {"list", "show", "rollback"},
    "component": {"list", "show", "logs"},
    "run": {"start", "list", "show", "watch", "logs", "cancel", "retry", "outputs"},
    "box": {"ls", "put", "get", "rm"},
    "token": {"create", "list", "revoke"},
    "worker": {"list", "drain"},
    "queue": {"list", "redrive"},
    "secret": {"set"},
    "serve": {"local"},
}
SINGLE = {
    "up",
    "gateway",
    "registry",
    "scheduler",
    "databox",
    "migrate",
    "init",
    "validate",
    "apply",
    "predict",
    "login",
}


def test_every_command_of_the_contract_exists() -> None:
    assert set(COMMANDS) >= SINGLE
    commands = {noun: {command.name for command in import_command(noun).registered_commands} for noun in COMMAND_GROUPS}
    assert {noun: CONTRACT[noun] - commands.get(noun, set()) for noun in CONTRACT} == {noun: set() for noun in CONTRACT}


@pytest.mark.parametrize(
    "words", [["--help"], *([noun, "--help"] for noun in CONTRACT), ["up", "-h"], ["run", "start", "-h"]]
)
def test_help_is_printed_and_is_no_error(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: mlmesh")


def test_the_help_lists_every_command(run: Run) -> None:
    listed = run("--help").out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines() if line[2] != " "] == [*COMMANDS, *COMMAND_GROUPS]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        [],
        ["run"],
        ["--nonsense"],
        ["app", "show"],
        ["run", "list", "x", "--limit", "many"],
        ["predict", "app"],
    ],
)
def test_wrong_usage_is_exit_code_2_and_a_sentence_that_says_how(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("mlmesh: ")
    assert "write " in done.err.splitlines()[-1] or "give " in done.err.splitlines()[-1]


def test_the_version_needs_no_command(run: Run) -> None:
    assert run("--version") == CommandResult(0, f"mlmesh {version('mlmesh')}\n", "")


def test_a_mesh_that_is_not_there_is_exit_code_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLMESH_URL", "http://127.0.0.1:9")
    done = run("app", "list")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("mlmesh: no mesh answers at http://127.0.0.1:9")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_exit_code_4(run: Run, mesh: FakeMesh, status: int) -> None:
    mesh.set_replies("GET", "/api/v1/apps", Reply(status, {"detail": "not with this token"}))
    done = run("app", "list")
    assert done.code == 4
    assert done.err.startswith("mlmesh: not with this token")


@pytest.mark.parametrize(
    ("token", "advice"),
    [
        (None, "set MLMESH_TOKEN, or type: mlmesh login {}"),
        ("wrong", "set MLMESH_TOKEN to one of its tokens, or unset it to use that of: mlmesh login"),
    ],
)
def test_a_refused_token_is_told_with_what_helps(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch, token: str | None, advice: str
) -> None:
    monkeypatch.delenv("MLMESH_TOKEN")
    if token:
        monkeypatch.setenv("MLMESH_TOKEN", token)
    mesh.set_replies("GET", "/api/v1/apps", Reply(401, {"detail": "this token is not valid"}))
    assert run("app", "list").err == f"mlmesh: this token is not valid; this is {mesh.url}: {advice.format(mesh.url)}\n"


def test_a_file_that_is_not_there_is_named(run: Run, mesh: FakeMesh) -> None:
    done = run("apply", "-f", "nowhere.yaml")
    assert (done.code, done.err) == (1, "mlmesh: nowhere.yaml: No such file or directory\n")


def test_the_address_can_be_an_option(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLMESH_URL", "http://127.0.0.1:9")
    mesh.set_replies("GET", "/api/v1/apps", {"items": [], "next": None})
    assert run("app", "list", "--url", mesh.url, "--json").out == "[]\n"


def test_login_checks_the_token_and_remembers_it(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLMESH_URL")
    monkeypatch.delenv("MLMESH_TOKEN")
    mesh.set_replies("GET", "/api/v1/apps", Reply(401, {"detail": "no such token"}), {"items": [], "next": None})
    assert run("login", mesh.url, "--token", "wrong") == CommandResult(
        4,
        "",
        f"mlmesh: no such token; this is {mesh.url}: nothing is written; an operator makes tokens with:"
        " mlmesh token create NAME --scope write:APP\n",
    )
    assert run("login", mesh.url, "--token", "right").code == 0
    assert run("app", "list", "--json").out == "[]\n"
    assert [request.headers["authorization"] for request in mesh.requests] == [
        "Bearer wrong",
        "Bearer right",
        "Bearer right",
    ]


def test_apply_sends_the_file_and_shows_the_webhook(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    answer = {
        "app": "a",
        "applied": [{"kind": "PlatformApp", "name": "a", "action": "created"}],
        "webhook": {"url": "http://m/hooks/a", "secret": "s3"},
        "warnings": [],
    }
    mesh.set_replies("POST", "/api/v1/apply", answer)
    (tmp_path / "a.yaml").write_text("kind: PlatformApp\n")
    done = run("apply", "-f", str(tmp_path / "a.yaml"))
    assert done.out.splitlines() == [
        "PlatformApp a: created", "webhook, shown this once:", "  url     http://m/hooks/a", "  secret  s3",
    ]  # fmt: skip
    assert (mesh.requests[0].body, mesh.requests[0].query) == (b"kind: PlatformApp\n", {"file": "a.yaml"})
    assert json.loads(run("apply", "-f", str(tmp_path / "a.yaml"), "--json").out) == answer


@pytest.mark.parametrize(
    ("branch", "line"),
    [
        ("main", "push to it with: git push http://m/git/a.git main"),
        (None, "push to it with: git push http://m/git/a.git TAG"),
    ],
)
def test_apply_of_a_repository_in_the_mesh_shows_where_to_push(
    run: Run, mesh: FakeMesh, tmp_path: Path, branch: str | None, line: str
) -> None:
    applied = [{"kind": "Repository", "name": "a", "action": "created"}]
    push = {"url": "http://m/git/a.git", "branch": branch}
    mesh.set_replies("POST", "/api/v1/apply", {"app": "a", "applied": applied, "push": push, "warnings": []})
    (tmp_path / "a.yaml").write_text("kind: Repository\n")
    assert run("apply", "-f", str(tmp_path / "a.yaml")).out.splitlines() == ["Repository a: created", line]


def test_a_refused_file_shows_where_it_is_wrong(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    where = {"file": "a.yaml", "line": 2, "column": 1, "message": "unknown kind"}
    mesh.set_replies("POST", "/api/v1/apply", Reply(422, {"detail": "a.yaml:2:1: unknown kind", "errors": [where]}))
    (tmp_path / "a.yaml").write_text("x: 1\n")
    done = run("apply", "-f", str(tmp_path / "a.yaml"))
    assert (done.code, done.err) == (1, "mlmesh: a.yaml:2:1: unknown kind\n")


def test_a_command_of_a_group_is_named_when_the_group_is_left_out(run: Run) -> None:
    done = run("rollback")
    assert (done.code, done.err) == (
        2, "mlmesh: no such command 'rollback'; did you mean mlmesh deployment rollback?\n",
    )  # fmt: skip
