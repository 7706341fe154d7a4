"""What of a folder decides about its image."""

from __future__ import annotations

from pathlib import Path

from libs.common.build_files import read_build_files


def test_names_are_read_and_contents_where_they_matter(tmp_path: Path) -> None:
    for name in ("requirements.txt", ".python-version", "service.py", "src/leaf/a.py", "docker/cpu", "deep/er/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"of {name}\n")
    assert read_build_files(tmp_path, ["docker/cpu", "docker/none"]) == {
        ".python-version": b"of .python-version\n",
        "docker/cpu": b"",
        "requirements.txt": b"of requirements.txt\n",
        "service.py": b"",
        "src/leaf/a.py": b"",
    }
