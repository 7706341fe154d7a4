"""The command as a process with closed or broken streams, another encoding, or an interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.up import NO_ISOLATION_NOTE
from tests.cli.fake_mesh import FakeMesh

ROOT = Path(__file__).parents[2]
END_TIMEOUT_S = 30.0


def shell(line: str, **environ: str) -> tuple[int, str, str]:
    """Run a shell line in which `$mlmesh` is the command."""
    environ = {**os.environ, "mlmesh": f"{sys.executable} -m services", **environ}
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=ROOT, env=environ, capture_output=True, text=True,
        timeout=END_TIMEOUT_S,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_reader_that_closes_the_pipe_causes_no_error() -> None:
    code, out, err = shell("$mlmesh --help | head -1")
    assert (code in (0, 141), out, err) == (True, "Usage: mlmesh [OPTIONS] COMMAND [ARGS]...\n", "")


def test_a_closed_output_is_a_sentence() -> None:
    assert shell("$mlmesh app list >&-") == (
        1, "", "mlmesh: standard output is closed; there is nowhere to print to\n",
    )  # fmt: skip


def test_a_full_disk_is_a_sentence(mesh: FakeMesh) -> None:
    mesh.set_replies("GET", "/api/v1/apps", {"items": [], "next": None})
    code, _, err = shell("$mlmesh app list --json >/dev/full")
    assert (code, err) == (1, "mlmesh: [Errno 28] No space left on device\n")


def test_closed_errors_change_no_exit_code() -> None:
    assert shell("$mlmesh nonsense 2>&-") == (2, "", "")
    assert shell("$mlmesh --version <&-")[0] == 0


def test_unencodable_characters_are_escaped(mesh: FakeMesh) -> None:
    mesh.set_replies("GET", "/api/v1/apps", {"items": [{"name": "höhe"}], "next": None})
    code, out, _ = shell("$mlmesh app list", PYTHONIOENCODING="ascii")
    assert (code, out.split()[-1]) == (0, "h\\xf6he")


def test_an_argument_that_is_not_utf_8_is_a_sentence(mesh: FakeMesh) -> None:
    assert shell("$mlmesh app show $'\\xff'") == (2, "", "mlmesh: '\\udcff' is not UTF-8\n")


INTERRUPTED_AT = """
import os, signal, sys
module = sys.argv.pop(1)
class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, AtImport())
from services.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "module",
    ["services.cli.command", "typer", "services.cli.up", "asyncio", "libs.common.log", "pydantic", "uvloop", "aiohttp"],
)
def test_ctrl_c_while_it_starts_ends_it_without_a_traceback(tmp_path: Path, module: str) -> None:
    words = ["up", "--port", "0", "--data", str(tmp_path / "data")]
    environ = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT, module, *words], cwd=ROOT, env=environ, capture_output=True, text=True,
        timeout=END_TIMEOUT_S,
    )  # fmt: skip
    assert (done.returncode in (-signal.SIGINT, 130, 0), done.stdout) == (True, "")
    assert set(done.stderr.splitlines()) <= {"mlmesh: interrupted", NO_ISOLATION_NOTE}
