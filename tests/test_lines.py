"""Files of tests that would start a second Docker Engine beside another process's."""

import re
from pathlib import Path

import pytest

from tests.lines import ON_THE_ENGINE, line

TESTS = Path(__file__).parent
ENGINE = re.compile(
    r"\bfleet\.(own_)?docker\b|\b(docker_engine|docker_url|python_image|compose)\b|tests\.worker\.docker_host"
)
"""How a file of tests comes to an engine: by a fixture of tests/conftest.py or tests/worker, or by the fleet."""


def test_every_file_that_uses_the_engine_is_listed() -> None:
    files = [file for file in TESTS.rglob("test_*.py") if file.name != "test_lines.py"]
    found = {file.relative_to(TESTS.parent).as_posix() for file in files if ENGINE.search(file.read_text())}
    assert found == ON_THE_ENGINE, "put a file that uses the Docker Engine into tests/lines.py"


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("tests/common/test_disk.py::test_a", "tests/common/test_disk.py::test_b[x::y]", True),
        ("tests/common/test_disk.py::test_a", "tests/common/test_due.py::test_a", False),
        ("tests/chaos/test_engine.py::test_a", "tests/deploy/test_compose.py::test_a", True),
    ],
)
def test_the_tests_of_a_file_stand_in_one_line(one: str, other: str, together: bool) -> None:
    assert (line(one) == line(other)) is together


def test_what_runs_on_processes_has_a_line_of_its_own() -> None:
    file = "tests/e2e/test_calls.py"
    assert line(f"{file}::test_calls[containers]") == line("tests/chaos/test_storm.py::test_storm[containers]")
    assert line(f"{file}::test_calls[processes]") == file
