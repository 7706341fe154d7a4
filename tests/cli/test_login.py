"""Signing in with a password or an invitation, and out."""

from __future__ import annotations

import io
import os

import pytest

from services.cli import profile
from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

SESSION = {"id": "s1", "user": "petrova", "token": "session", "expires_at": None}


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> str:
    """What is on standard input."""
    password = "correct horse battery"
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    return password


def test_a_person_signs_in_with_a_password(run: Run, mesh: FakeMesh, typed: str) -> None:
    mesh.set_replies("POST", "/api/v1/sessions", Reply(201, SESSION))
    assert run("login", mesh.url, "--user", "petrova").code == 0
    assert mesh.requests[-1].json() == {"name": "petrova", "password": typed}
    assert "authorization" not in {name.lower() for name in mesh.requests[-1].headers}
    assert profile.load_default(os.environ) == profile.Profile(mesh.url, "session")


def test_a_wrong_password_writes_nothing(run: Run, mesh: FakeMesh, typed: str) -> None:
    mesh.set_replies("POST", "/api/v1/sessions", Reply(401, {"detail": "wrong name or password"}))
    result = run("login", mesh.url, "--user", "petrova")
    assert (result.code, "wrong name or password" in result.err, "nothing is written" in result.err) == (4, True, True)
    assert profile.load_default(os.environ) == profile.Profile("", "")


def test_an_invitation_is_accepted_with_a_new_password(run: Run, mesh: FakeMesh, typed: str) -> None:
    mesh.set_replies("POST", "/api/v1/setup", Reply(201, SESSION))
    assert run("login", mesh.url, "--invitation", "link").code == 0
    assert mesh.requests[-1].json() == {"token": "link", "password": typed}
    assert profile.load_default(os.environ).token == "session"


def test_only_one_way_to_sign_in_is_given(run: Run, mesh: FakeMesh) -> None:
    result = run("login", mesh.url, "--user", "petrova", "--invitation", "link")
    assert (result.code, "give one of --token, --user and --invitation" in result.err) == (2, True)


def test_the_first_administrator_is_made_with_the_admin_token(
    run: Run, mesh: FakeMesh, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLMESH_TOKEN", "admin-token")
    mesh.set_replies("POST", "/api/v1/setup", Reply(201, SESSION))
    result = run("user", "setup", "petrova", "--url", mesh.url)
    assert (result.code, f"mlmesh login {mesh.url} --user petrova" in result.out) == (0, True)
    assert mesh.requests[-1].json() == {"token": "admin-token", "name": "petrova", "password": typed}


@pytest.mark.parametrize(
    ("name", "token", "is_ended"), [("petrova", "", True), ("petrova", "laptop", False), ("", "ci", False)]
)
def test_signing_out_ends_the_session_and_forgets_the_token(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch, name: str, token: str, is_ended: bool
) -> None:
    monkeypatch.delenv("MLMESH_TOKEN")
    profile.save_profile(os.environ, profile.Profile(mesh.url, "text"))
    mesh.set_replies("GET", "/api/v1/me", {"name": name, "token": token})
    mesh.set_replies("DELETE", "/api/v1/sessions/current", Reply(204))
    assert run("logout", "--url", mesh.url).code == 0
    assert (mesh.requests[-1].method == "DELETE") is is_ended
    assert profile.load_profile(os.environ, mesh.url).token == ""
