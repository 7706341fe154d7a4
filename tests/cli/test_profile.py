from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.cli.cli_errors import Failure, WrongUsage
from services.cli.profile import Profile, load_default, load_profile, save_profile


def environ(tmp_path: Path, **variables: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), **variables}


BAD_ADDRESSES = [
    "127.0.0.1:8000", "ftp://host", "http://", "file:///etc/passwd", "http://127.0.0.1:99999", "http://[::1",
    "http://a b", "http://:80", "http://ü", "http://a\n", "http://a:0",
]  # fmt: skip


def test_without_anything_the_default_address_is_used_without_a_token(tmp_path: Path) -> None:
    assert load_profile(environ(tmp_path)) == Profile("http://127.0.0.1:8000", "")


def test_an_option_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    save_profile(environ(tmp_path), Profile("http://file:1", "of-file"))
    variables = environ(tmp_path, MLMESH_URL="http://environ:2/", MLMESH_TOKEN="of-environ")
    assert load_profile(environ(tmp_path)) == Profile("http://file:1", "of-file")
    assert load_profile(variables) == Profile("http://environ:2", "of-environ")
    assert load_profile(variables, "http://option:3") == Profile("http://option:3", "of-environ")


def test_a_written_token_is_not_sent_to_another_address(tmp_path: Path) -> None:
    save_profile(environ(tmp_path), Profile("http://file:1", "of-file"))
    assert load_profile(environ(tmp_path), "http://other:1").token == ""
    assert load_profile(environ(tmp_path), "http://file:1/").token == "of-file"


def test_the_file_is_readable_by_its_user_alone(tmp_path: Path) -> None:
    path = save_profile(environ(tmp_path), Profile("http://file:1", "x"))
    assert path == tmp_path / "mlmesh" / "config.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["config.json"]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = save_profile(environ(tmp_path), Profile("http://file:1", "x"))
    path.write_text("{")
    with pytest.raises(Failure, match=rf"{path} cannot be read; write it anew with: mlmesh login URL"):
        load_profile(environ(tmp_path))


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_an_address_that_is_none_is_wrong_usage(tmp_path: Path, url: str) -> None:
    with pytest.raises(WrongUsage, match="is not an address of a mesh"):
        load_profile(environ(tmp_path), url)


def test_several_meshes_are_known_and_one_is_spoken_to(tmp_path: Path) -> None:
    save_profile(environ(tmp_path), Profile("http://lab:1", "of-lab"))
    save_profile(environ(tmp_path), Profile("http://mine:1", "of-mine"), current=False)
    assert load_profile(environ(tmp_path)) == load_default(environ(tmp_path)) == Profile("http://lab:1", "of-lab")
    assert load_profile(environ(tmp_path), "http://mine:1") == Profile("http://mine:1", "of-mine")
    save_profile(environ(tmp_path), Profile("http://mine:2", "of-mine"))
    assert load_profile(environ(tmp_path)) == Profile("http://mine:2", "of-mine")
    assert load_profile(environ(tmp_path), "http://mine:1").token == ""
    assert load_profile(environ(tmp_path), "http://lab:1").token == "of-lab"


def test_a_file_of_the_first_release_is_read(tmp_path: Path) -> None:
    path = save_profile(environ(tmp_path), Profile("http://x:1", "x"))
    path.write_text('{"url": "http://file:1/", "token": "old"}')
    assert load_profile(environ(tmp_path)) == Profile("http://file:1", "old")


@pytest.mark.parametrize("text", ["{", "[]", '{"url": "http://a"}', '{"url": "http://a", "tokens": []}'])
def test_a_broken_file_is_replaced_by_a_login(tmp_path: Path, text: str) -> None:
    path = save_profile(environ(tmp_path), Profile("http://file:1", "x"))
    path.write_text(text)
    with pytest.raises(Failure):
        load_profile(environ(tmp_path))
    save_profile(environ(tmp_path), Profile("http://file:1", "y"))
    assert load_profile(environ(tmp_path)).token == "y"


@pytest.mark.parametrize("token", ["a b", "a\nb", "ü", "\x1b"])
def test_a_token_that_no_header_can_carry_is_wrong_usage(tmp_path: Path, token: str) -> None:
    with pytest.raises(WrongUsage, match="MLMESH_TOKEN holds characters that no token has"):
        load_profile(environ(tmp_path, MLMESH_TOKEN=token))
