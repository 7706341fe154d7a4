"""Which repositories share a virtual environment."""

from pathlib import Path

import pytest

from services.worker.environment import key, requirements


def keyed(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return key(requirements(folder), folder)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ({"requirements.txt": "numpy\n"}, {"requirements.txt": "numpy\n"}, True),
        ({"requirements.txt": "numpy\n"}, {"requirements.txt": "scipy\n"}, False),
        ({}, {"a.py": ""}, True),
        ({}, {"requirements.txt": ""}, False),
        ({"requirements.txt": "-r b.txt", "b.txt": "x"}, {"requirements.txt": "-r b.txt", "b.txt": "x"}, True),
        ({"requirements.txt": "-r b.txt", "b.txt": "x"}, {"requirements.txt": "-r b.txt", "b.txt": "y"}, False),
        ({"requirements.txt": "--constraint=b.txt", "b.txt": "x"},
         {"requirements.txt": "--constraint=b.txt", "b.txt": "y"}, False),
        ({"requirements.txt": "-r b.txt", "b.txt": "-r c.txt", "c.txt": "x"},
         {"requirements.txt": "-r b.txt", "b.txt": "-r c.txt", "c.txt": "y"}, False),
        ({"requirements.txt": "-e ."}, {"requirements.txt": "-e ."}, False),
        ({"requirements.txt": "./vendored"}, {"requirements.txt": "./vendored"}, False),
        ({"requirements.txt": "-r requirements.txt"}, {"requirements.txt": "-r requirements.txt"}, True),
    ],
)  # fmt: skip
def test_an_environment_is_shared_by_what_asks_for_the_same(
    tmp_path: Path, one: dict[str, str], other: dict[str, str], shared: bool
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    assert (keyed(tmp_path / "one", one) == keyed(tmp_path / "other", other)) is shared
