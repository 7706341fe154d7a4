"""Terminal escape sequences in every reply of a mesh, through every command."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.terminal import CONTROL_CATEGORIES
from services.cli.render import write_log
from tests.cli.cases import CASES, Case
from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

DECIDES = {"status", "id", "next", "code", "target"}
"""Fields that commands interpret; their hostile values are tested one by one below."""
ATTACKS = ["\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "\u202etxt.exe", "\r$ ", "\x00", "\x7f", "\u2066", "[bold]", "[/x]"]
every_command = pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.words[:2]))


def inject_attack(value: Any, attack: str, name: str = "") -> Any:
    match value:
        case Reply(status, body, headers):
            text = (body or b"") + attack.encode() if isinstance(body, bytes) else inject_attack(body, attack)
            return Reply(status, text, headers)
        case dict():
            return {key: inject_attack(item, attack, key) for key, item in value.items()}
        case list():
            return [inject_attack(item, attack, name) for item in value]
        case str() if name not in DECIDES:
            return value + attack
    return value


def commands_in(text: str) -> list[str]:
    return [char for char in text if unicodedata.category(char) in CONTROL_CATEGORIES and char not in "\n\t"]


@every_command
@given(attack=st.sampled_from(ATTACKS) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=5))
@settings(
    max_examples=15, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_nothing_that_is_printed_commands_the_terminal(
    run: Run, mesh: FakeMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case, attack: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("services.cli.render.is_terminal", lambda _stream: True)
    case.prepare_mesh(mesh, tmp_path)
    for (method, path), reply in case.replies.items():
        mesh.set_replies(method, path, inject_attack(reply, attack))
    done = run(*case.words)
    assert commands_in(done.out + done.err) == []
    for (method, path), _ in case.replies.items():
        mesh.set_replies(method, path, Reply(400, {"detail": f"no {attack}", "errors": [{"message": attack}]}))
    done = run(*case.words)
    assert commands_in(done.out + done.err) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_json_says_what_the_mesh_said(run: Run, mesh: FakeMesh, attack: str) -> None:
    app = {"name": "a", "title": attack, "status": attack}
    mesh.set_replies("GET", "/api/v1/apps/a", app)
    out = run("app", "show", "a", "--json").out
    assert json.loads(out) == app
    assert commands_in(out) == []


def test_a_log_in_a_pipe_keeps_its_lines_and_letters_and_no_command(run: Run, mesh: FakeMesh) -> None:
    raw = "\x1b[31mrot\x1b[0m: über\r\nnächste\tZeile\n".encode() + b"\xff\n"
    mesh.set_replies("GET", "/api/v1/apps/a/runs/r1/logs", Reply(200, raw, {"Content-Type": "text/plain"}))
    assert run("run", "logs", "a", "r1").out == "\\u001b[31mrot\\u001b[0m: über\nnächste\tZeile\n\ufffd\n"


def test_a_log_that_arrives_in_pieces_is_escaped_as_a_whole(capsys: pytest.CaptureFixture[str]) -> None:
    write_log([b"one\r", b"\n\xc3", b"\xbc\x1b", b"[2J", b"\xe2"])
    assert capsys.readouterr().out == "one\nü\\u001b[2J\ufffd"
