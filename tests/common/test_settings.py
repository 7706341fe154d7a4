"""Settings from the environment: files, warnings, clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.common.settings import (
    LOOPBACK_NETWORKS,
    PRIVATE_NETWORKS,
    BadSetting,
    Settings,
    load_settings,
    require_settings,
)

EVERYWHERE = "0.0.0.0"  # noqa: S104  compared with, not bound to


def test_values_come_from_the_environment_and_arguments_win() -> None:
    found, warnings = load_settings({"MLMESH_PORT": "81", "MLMESH_LEASE": "500ms", "OTHER": "1"}, port=82)
    assert (found.port, found.lease, warnings) == (82, 0.5, [])


def test_a_value_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert load_settings({"MLMESH_INTERNAL_TOKEN_FILE": str(tmp_path / "token")})[0].internal_token == "secret"


def test_an_unknown_variable_is_a_warning() -> None:
    assert load_settings({"MLMESH_PROT": "81"})[1] == ["MLMESH_PROT is not a setting of mlmesh and is ignored"]


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PORT", "x", "MLMESH_PORT: Input should be a valid integer, unable to parse string as an integer"),
        ("LEASE", "-1", "MLMESH_LEASE: Input should be greater than 0"),
        ("PUBLIC_URL", "example.org", "MLMESH_PUBLIC_URL: write http://host:port"),
        ("WORKER_LABELS", "a", "MLMESH_WORKER_LABELS: write key=value,key=value"),
        ("TOKEN_FILE", "x", None),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable(variable: str, value: str, sentence: str | None) -> None:
    if sentence is None:
        assert load_settings({f"MLMESH_{variable}": value})[1] != []
        return
    with pytest.raises(BadSetting) as caught:
        load_settings({f"MLMESH_{variable}": value})
    assert str(caught.value) == sentence


def test_a_file_that_cannot_be_read_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(BadSetting, match="MLMESH_SECRET_KEY_FILE: cannot read /nowhere"):
        load_settings({"MLMESH_SECRET_KEY_FILE": "/nowhere"})


def test_lists_and_pairs_are_read_from_commas() -> None:
    found, _ = load_settings({"MLMESH_WORKER_CLASSES": "cpu, gpu", "MLMESH_WORKER_LABELS": "zone=a,disk=ssd"})
    assert (found.worker_classes, found.worker_labels) == (("cpu", "gpu"), {"zone": "a", "disk": "ssd"})


@pytest.mark.parametrize(
    ("values", "reach"),
    [
        ({}, (*PRIVATE_NETWORKS, *LOOPBACK_NETWORKS)),
        ({"host": "127.0.0.3"}, (*PRIVATE_NETWORKS, *LOOPBACK_NETWORKS)),
        ({"host": "[::1]"}, (*PRIVATE_NETWORKS, *LOOPBACK_NETWORKS)),
        ({"host": "::1"}, (*PRIVATE_NETWORKS, *LOOPBACK_NETWORKS)),
        ({"host": EVERYWHERE}, PRIVATE_NETWORKS),
        ({"host": "::"}, PRIVATE_NETWORKS),
        ({"host": "mesh.example"}, PRIVATE_NETWORKS),
        ({"repository_networks": "10.1.0.0/16"}, ("10.1.0.0/16",)),
        ({"repository_networks": ""}, ()),
        ({"host": EVERYWHERE, "repository_networks": "127.0.0.0/8"}, ("127.0.0.0/8",)),
    ],
)  # fmt: skip
def test_repositories_are_on_the_loopback_only_where_the_mesh_is(
    values: dict[str, str], reach: tuple[str, ...]
) -> None:
    assert Settings.from_values(**values).reachable_repository_networks == reach


def test_repositories_are_below_the_home_the_folder_of_the_start_and_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    found = Settings.from_values().repository_folders
    assert str(tmp_path.resolve()) in found
    assert "/" not in found
    assert Settings.from_values(repository_folders="/srv/a, /srv/b").repository_folders == ("/srv/a", "/srv/b")
    with pytest.raises(
        BadSetting, match="MLMESH_REPOSITORY_FOLDERS: srv is not an absolute path; write /srv/repositories"
    ):
        load_settings({"MLMESH_REPOSITORY_FOLDERS": "srv"})


def test_a_required_setting_without_a_value_is_named() -> None:
    with pytest.raises(BadSetting, match="MLMESH_SECRET_KEY is not set"):
        require_settings(load_settings({})[0], "secret_key")


def test_the_database_and_the_store_lie_in_the_data_folder_unless_said_otherwise(tmp_path: Path) -> None:
    found, _ = load_settings({"MLMESH_DATA": str(tmp_path)})
    assert found.database_url == f"sqlite+aiosqlite:///{tmp_path}/mlmesh.db"
    assert found.store_url == f"file://{tmp_path}/store"


@pytest.mark.parametrize("text", ["WARNING", "Warning", "warning", " warning "])
def test_a_log_level_is_written_in_any_case(text: str) -> None:
    assert load_settings({"MLMESH_LOG_LEVEL": text})[0].log_level == "warning"


def test_the_sources_of_secrets_are_by_app_and_secret() -> None:
    found = load_settings({"MLMESH_SECRET_SOURCES": "leaf/keys=file:/run/keys, texts/mail=env:TEXTS_"})[0]
    assert found.secret_sources == {"leaf/keys": "file:/run/keys", "texts/mail": "env:TEXTS_"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("leaf=file:/run/keys", "write app/secret"),
        ("leaf/keys=/run/keys", "write file:/folder or env:PREFIX_"),
        ("leaf/keys=file:keys", "write file:/folder or env:PREFIX_"),
        ("leaf/keys=env:", "write file:/folder or env:PREFIX_"),
        ("leaf/keys=env:MLMESH_", "would give away the mesh's own settings"),
        ("leaf/keys", "write key=value"),
    ],
)
def test_a_source_that_is_none_is_told(text: str, why: str) -> None:
    with pytest.raises(BadSetting, match=why):
        load_settings({"MLMESH_SECRET_SOURCES": text})
