"""What the command line says of mistakes: one sentence, the place, a status for scripts. No traceback."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import MLMESH, Mesh
from tests.e2e.application import FILES, Application
from tests.e2e.mistakes import MISTAKES

COMMAND_TIMEOUT_S = 60.0
FAILED, USAGE, NOT_REACHABLE, REFUSED = 1, 2, 3, 4


def said(mesh: Mesh, *arguments: str, folder: Path | None = None, **environ: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr. A traceback is never an answer."""
    done = subprocess.run(
        [MLMESH, *arguments], env=mesh.environ | environ, cwd=folder, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("case", MISTAKES)
def test_validate_prints_the_place_and_the_sentence(embedded: Mesh, tmp_path: Path, case: str) -> None:
    mistake = MISTAKES[case]
    written(tmp_path, {**FILES, mistake.file: mistake.text})
    code, out, err = said(embedded, "validate", folder=tmp_path)
    [line] = out.splitlines()
    assert (code, err) == (FAILED, "")
    assert line.startswith(f"{mistake.file}:{mistake.line}:{mistake.column}: "), line
    assert mistake.message in line


def test_validate_of_what_is_right_is_0(embedded: Mesh, tmp_path: Path) -> None:
    assert said(embedded, "validate", folder=written(tmp_path, FILES)) == (0, "", "3 files, no errors\n")


def test_a_wrong_token_is_refused_with_the_way_in(embedded: Mesh) -> None:
    code, out, err = said(embedded, "app", "list", MLMESH_URL=embedded.url, MLMESH_TOKEN="guessed")
    assert (code, out, len(err.splitlines())) == (REFUSED, "", 1)
    assert err == (
        "mlmesh: this token is not valid: it is unknown here, has expired, or was revoked;"
        f" this is {embedded.url}: set MLMESH_TOKEN to one of its tokens, or unset it to use that of: mlmesh login\n"
    )


def test_a_mesh_that_does_not_answer_is_named(embedded: Mesh) -> None:
    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = said(embedded, "app", "list", MLMESH_URL=url)
    assert (code, out) == (NOT_REACHABLE, "")
    assert err == f"mlmesh: no mesh answers at {url} ([Errno 111] Connection refused); start one with: mlmesh up\n"


def test_an_address_that_is_none_is_wrong_usage(embedded: Mesh) -> None:
    code, out, err = said(embedded, "app", "list", MLMESH_URL="mesh:8000")
    assert (code, out) == (USAGE, "")
    assert err == "mlmesh: mesh:8000 is not an address of a mesh; write http://host:port\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("app", "show", "nowhere"),
        ("app", "sync", "nowhere"),
        ("deployment", "list", "nowhere"),
        ("component", "show", "nowhere", "shout"),
        ("component", "logs", "nowhere", "shout"),
        ("box", "ls", "nowhere"),
    ],
    ids=" ".join,
)
def test_an_app_that_is_not_there_is_one_sentence(embedded: Mesh, arguments: tuple[str, ...]) -> None:
    code, out, err = said(embedded, *arguments)
    assert (code, out, len(err.splitlines())) == (FAILED, "", 1)
    assert err.startswith("mlmesh: ")


def test_a_wrong_prediction_names_its_input(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.start({name: text for name, text in FILES.items() if name != "manifests/copy.yml"})
    code, out, err = said(embedded, "predict", app.name, "shout", "--input", "colour=red")
    assert (code, out) == (FAILED, "")
    assert "text" in err, err
