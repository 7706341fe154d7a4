"""Failures of every command: one sentence on stderr, nothing on stdout, an exit code, no traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.lazy_commands import COMMAND_GROUPS, COMMANDS, import_command
from tests.cli.cases import APPS, CASES, Case
from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

HERE = {
    "up",
    "down",
    "gateway",
    "registry",
    "scheduler",
    "databox",
    "migrate",
    "init",
    "validate",
    "run local",
    "serve local",
}
"""Commands that call no mesh."""
every_command = pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.words[:2]))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_the_table_has_every_command() -> None:
    nouns = {
        f"{noun} {command.name}" for noun in COMMAND_GROUPS for command in import_command(noun).registered_commands
    }
    written = {" ".join(case.words[:2]) if case.words[0] in COMMAND_GROUPS else case.words[0] for case in CASES}
    assert {*COMMANDS, *nouns} - HERE - {"login", "git-credential", "user setup"} == written


@every_command
def test_it_works(run: Run, mesh: FakeMesh, folder: Path, case: Case) -> None:
    case.prepare_mesh(mesh, folder)
    assert run(*case.words).code == 0


@every_command
def test_no_mesh(run: Run, mesh: FakeMesh, folder: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    case.prepare_mesh(mesh, folder)
    monkeypatch.setenv("MLMESH_URL", "http://127.0.0.1:9")
    done = run(*case.words)
    assert (done.code, done.out, len(done.err.splitlines())) == (3, "", 1)
    assert done.err.startswith("mlmesh: no mesh answers at http://127.0.0.1:9 (")


@every_command
def test_a_bad_address(run: Run, mesh: FakeMesh, folder: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    case.prepare_mesh(mesh, folder)
    monkeypatch.setenv("MLMESH_URL", "http://127.0.0.1:99999")
    done = run(*case.words)
    sentence = "mlmesh: http://127.0.0.1:99999 is not an address of a mesh; write http://host:port\n"
    assert (done.code, done.out, done.err) == (2, "", sentence)


@every_command
@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (404, 1), (500, 1)])
def test_refusals(run: Run, mesh: FakeMesh, folder: Path, case: Case, status: int, code: int) -> None:
    case.prepare_mesh(mesh, folder)
    for method, path in case.replies:
        mesh.set_replies(method, path, Reply(status, {"detail": "because"}))
        mesh.set_replies(method, path.removeprefix(APPS), Reply(status, {"detail": "because"}))  # of runs: as a caller
    done = run(*case.words)
    assert (done.code, done.out, len(done.err.splitlines())) == (code, "", 1), done
    assert done.err.startswith("mlmesh: because"), done.err


@every_command
def test_another_server(run: Run, mesh: FakeMesh, folder: Path, case: Case) -> None:
    """The server is no mesh: it sends an HTML page for every path."""
    case.prepare_mesh(mesh, folder)
    for method, path in case.replies:
        mesh.set_replies(method, path, Reply(404, b"<html>not found</html>", {"Content-Type": "text/html"}))
    done = run(*case.words)
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)


@every_command
def test_a_closed_output_pipe(
    run: Run, mesh: FakeMesh, folder: Path, monkeypatch: pytest.MonkeyPatch, case: Case, broken: int
) -> None:
    case.prepare_mesh(mesh, folder)
    with monkeypatch.context() as patch, open(broken, "w", closefd=False) as nobody:
        patch.setattr("sys.stdout", nobody)
        done = run(*case.words)
    assert (done.code, done.err) == (141, "")


@pytest.fixture
def broken() -> Iterator[int]:
    """A pipe whose reader is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


LISTS = [("component", "components"), ("run", "runs"), ("schedule", "schedules")]


@pytest.mark.parametrize(("noun", "what"), LISTS)
def test_an_empty_list_of_an_unknown_app_is_refused(run: Run, mesh: FakeMesh, noun: str, what: str) -> None:
    mesh.set_replies("GET", f"{APPS}/nope/{what}", {"items": []})
    mesh.set_replies("GET", f"{APPS}/nope", Reply(404, {"detail": 'there is no app "nope"'}))
    done = run(noun, "list", "nope")
    assert (done.code, done.out, done.err) == (1, "", 'mlmesh: there is no app "nope"\n')


@pytest.mark.parametrize("app", [Reply(body={"name": "a"}), Reply(401), Reply(403)])
@pytest.mark.parametrize(("noun", "what"), LISTS)
def test_an_empty_list_of_an_app_is_shown(run: Run, mesh: FakeMesh, noun: str, what: str, app: Reply) -> None:
    mesh.set_replies("GET", f"{APPS}/a/{what}", {"items": []})
    mesh.set_replies("GET", f"{APPS}/a", app)
    done = run(noun, "list", "a", "--json")
    assert (done.code, done.out.strip()) == (0, "[]")
