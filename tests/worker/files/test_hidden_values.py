"""What an adopted task must not show is found again by the next worker of the mesh, and by nobody else."""

from __future__ import annotations

from pathlib import Path

from services.worker.files.hidden_values import FILE, load_hidden_values, save_hidden_values


def test_the_next_worker_reads_them_and_they_are_not_in_clear(tmp_path: Path) -> None:
    save_hidden_values(tmp_path, "token", {"sesame-open", "another"})
    assert load_hidden_values(tmp_path, "token") == ["another", "sesame-open"]
    assert b"sesame" not in (tmp_path / FILE).read_bytes()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_without_values_there_is_no_file_and_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    save_hidden_values(tmp_path, "token", ())
    assert not (tmp_path / FILE).exists()
    assert load_hidden_values(tmp_path, "token") == []
    save_hidden_values(tmp_path, "token", {"sesame-open"})
    assert load_hidden_values(tmp_path, "another token") == []
    (tmp_path / FILE).write_bytes(b"cut")
    assert load_hidden_values(tmp_path, "token") == []
