from __future__ import annotations

import io

import pytest
import typer

from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

PATH = "/api/v1/apps/a/secrets/users"


def test_values_are_sent_and_never_printed(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("PUT", PATH, Reply(204))
    done = run("secret", "set", "a", "users", "alice=pass=word", "bob=b=")
    assert (done.out, done.err) == ("users: alice, bob set\n", "")
    assert mesh.requests[0].json() == {"data": {"alice": "pass=word", "bob": "b="}}


def test_an_empty_value_is_set_only_on_purpose(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("PUT", PATH, Reply(204))
    refused = run("secret", "set", "a", "users", "alice=x", "bob=", "eve=")
    assert (refused.code, mesh.requests) == (2, [])
    assert refused.err.startswith("mlmesh: bob, eve: the value after = is empty (is a shell variable unset?)")
    assert "--allow-empty" in refused.err
    assert run("secret", "set", "a", "users", "bob=", "--allow-empty").code == 0
    assert mesh.requests[0].json() == {"data": {"bob": ""}}


def test_a_value_can_come_from_standard_input(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.set_replies("PUT", PATH, Reply(204))
    monkeypatch.setattr("sys.stdin", io.StringIO("two\nlines\n"))
    assert run("secret", "set", "a", "users", "key").code == 0
    assert mesh.requests[0].json() == {"data": {"key": "two\nlines"}}


@pytest.mark.parametrize(("text", "value"), [("pass\r\n", "pass"), ("a\r\nb\r\n", "a\r\nb"), ("pass\n\n", "pass\n")])
def test_the_end_of_the_last_line_is_no_part_of_a_value(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch, text: str, value: str
) -> None:
    mesh.set_replies("PUT", PATH, Reply(204))
    monkeypatch.setattr("sys.stdin", io.StringIO(text, newline=""))
    assert run("secret", "set", "a", "users", "key").code == 0
    assert mesh.requests[0].json() == {"data": {"key": value}}


def test_nothing_on_standard_input_is_an_error(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run("secret", "set", "a", "users", "key").err == "mlmesh: no key was given\n"
    assert run("secret", "set", "a", "users", "one", "two").code == 2
    assert mesh.requests == []


def test_an_aborted_prompt_sets_no_value(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    def abort_prompt(_prompt: str, **_how: bool) -> str:
        raise typer.Abort

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("typer.prompt", abort_prompt)
    done = run("secret", "set", "a", "users", "alice")
    assert (done.code, done.err, mesh.requests) == (1, "mlmesh: no alice was given\n", [])


def test_a_terminal_asks_for_each_value(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.set_replies("PUT", PATH, Reply(204))
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("typer.prompt", lambda prompt, **_how: f"value of {prompt.split()[0]}")
    assert run("secret", "set", "a", "users", "TOKEN", "PIN").code == 0
    assert mesh.requests[0].json() == {"data": {"TOKEN": "value of TOKEN", "PIN": "value of PIN"}}


def test_single_keys_are_removed(run: Run, mesh: FakeMesh) -> None:
    for key in ("bob", "alice"):
        mesh.set_replies("DELETE", f"{PATH}/{key}", Reply(204))
    assert run("secret", "unset", "a", "users", "bob", "alice").out == "users: alice, bob unset\n"
    assert [request.path for request in mesh.requests] == [f"{PATH}/bob", f"{PATH}/alice"]


def test_a_token_is_printed_alone(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/api/v1/tokens", Reply(201, {"name": "ci", "token": "mlmesh_x"}))
    done = run("token", "create", "ci", "--scope", "write:a", "--expires-in", "90d")
    assert (done.out, done.err) == ("mlmesh_x\n", "this token is not shown again\n")
    assert mesh.requests[0].json() == {"name": "ci", "scopes": ["write:a"], "expires_in": "90d"}


def test_an_api_key_is_made_for_a_user(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/api/v1/apps/a/keys", Reply(201, {"id": "k", "user": "alice", "key": "mlmesh_key_x"}))
    assert run("key", "create", "a", "--user", "alice").out == "mlmesh_key_x\n"
    assert mesh.requests[0].json() == {"user": "alice"}
