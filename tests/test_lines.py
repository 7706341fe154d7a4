"""Which tests run one after another, and which lines come first."""

import re
from pathlib import Path

import pytest

from tests.lines import FIRST, IN_CONTAINERS, SHARED, line, place

TESTS = Path(__file__).parent
NEEDS = {
    "Compose": (".", re.compile(r"\bcompose: |\bstandins\.server_images\b")),
    "the second Docker Engine": (".", re.compile(r"\bfleet\.own_docker\b")),
    "workers on the Docker Engine": ("worker", re.compile(r"\bdocker_engine\b|\btests\.worker\.docker_host\b")),
}
"""How a file of tests, and where, comes to what only one process shall use at a time."""
FILE = "tests/e2e/test_calls.py"


@pytest.mark.parametrize("name", NEEDS)
def test_every_file_that_needs_what_one_process_uses_at_a_time_is_in_its_line(name: str) -> None:
    folder, need = NEEDS[name]
    files = [file for file in (TESTS / folder).rglob("test_*.py") if need.search(file.read_text())]
    assert {file.relative_to(TESTS.parent).as_posix() for file in files} - {"tests/test_lines.py"} == set(SHARED[name])


def test_the_lines_that_are_named_exist() -> None:
    files = [file.removesuffix(IN_CONTAINERS) for name in FIRST for file in SHARED.get(name, (name,))]
    files += [file for listed in SHARED.values() for file in listed]
    assert [file for file in files if not (TESTS.parent / file).is_file()] == []


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("tests/common/test_disk.py::test_a", "tests/common/test_disk.py::test_b[x::y]", True),
        ("tests/common/test_disk.py::test_a", "tests/common/test_due.py::test_a", False),
        ("tests/chaos/test_engine.py::test_a", "tests/chaos/test_storm.py::test_a[containers]", True),
        ("tests/e2e/test_compose.py::test_a", "tests/deploy/test_compose.py::test_a", True),
        (f"{FILE}::test_a[containers]", f"{FILE}::test_b[containers]", True),
        (f"{FILE}::test_a[containers]", f"{FILE}::test_a[processes]", False),
        ("tests/chaos/test_storm.py::test_a[containers]", "tests/chaos/test_storm.py::test_a[processes]", False),
    ],
)
def test_the_tests_of_a_line_stand_together(one: str, other: str, together: bool) -> None:
    assert (line(one) == line(other)) is together


def test_a_line_of_several_files_comes_early_and_in_their_order() -> None:
    ids = [f"{file}::test_a" for file in ("tests/cli/test_up.py", *SHARED["Compose"][::-1])]
    assert [test.partition("::")[0] for test in sorted(ids, key=place)] == [*SHARED["Compose"], "tests/cli/test_up.py"]
