"""What Git is told of a mesh that the command knows, and of nothing else."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.credential_helper import answer_question, parse_question
from services.cli.profile import Profile, save_profile

MESH = {"protocol": "http", "host": "127.0.0.1:8000", "path": "git/leaf.git"}
ROOT = Path(__file__).parents[2]
HEAVY = {
    "typer",
    "pydantic",
    "rich",
    "asyncio",
    "ssl",
    "http.client",
    "urllib.request",
    "importlib.metadata",
    "logging",
}
REPORT_IMPORTS = """
import sys
from services.__main__ import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    found = {"XDG_CONFIG_HOME": str(tmp_path)}
    save_profile(found, Profile("http://other.example", "second"))
    save_profile(found, Profile("http://127.0.0.1:8000", "first"))
    return found


def test_a_question_of_git_ends_with_an_empty_line() -> None:
    text = "protocol=http\nhost=a:1\npath=x=y\n\nhost=b\n"
    assert parse_question(io.StringIO(text)) == {"protocol": "http", "host": "a:1", "path": "x=y"}
    assert parse_question(io.StringIO("")) == {}


@pytest.mark.parametrize(
    ("question", "password"),
    [
        (MESH, "first"),
        ({"protocol": "http", "host": "other.example"}, "second"),
        ({"protocol": "https", "host": "127.0.0.1:8000"}, None),
        ({"protocol": "http", "host": "127.0.0.1:8001"}, None),
        ({"protocol": "https", "host": "forge.example"}, None),
    ],
)
def test_a_token_goes_only_to_the_mesh_that_it_belongs_to(
    environ: dict[str, str], question: dict[str, str], password: str | None
) -> None:
    assert answer_question(question, environ) == (
        [] if password is None else ["username=mlmesh", f"password={password}"]
    )


def test_a_token_of_the_environment_is_for_the_mesh_that_commands_speak_to(environ: dict[str, str]) -> None:
    chosen = {**environ, "MLMESH_TOKEN": "mine"}
    assert answer_question(MESH, chosen)[1] == "password=mine"
    assert answer_question({"protocol": "http", "host": "other.example"}, chosen)[1] == "password=second"
    assert answer_question({"protocol": "https", "host": "forge.example"}, chosen) == []


@pytest.mark.parametrize(
    ("operation", "answer"), [("get", "username=mlmesh\npassword=first\n"), ("store", ""), ("erase", "")]
)
def test_git_waits_for_no_heavy_import(environ: dict[str, str], operation: str, answer: str) -> None:
    question = "".join(f"{name}={value}\n" for name, value in MESH.items())
    program = [sys.executable, "-c", REPORT_IMPORTS, "git-credential", operation]
    done = subprocess.run(program, cwd=ROOT, env=environ, input=question, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, answer)
    assert HEAVY & set(done.stderr.split()) == set()
    assert ("services.cli.credential_helper" in done.stderr.split()) == (operation == "get")
