"""Git credentials: their forms, how Git receives them, and that no error contains them."""

import stat
import subprocess
from pathlib import Path

import pytest

from libs.common.errors import Invalid
from services.registry.git.credentials import NO_CREDENTIALS, Credentials, GitAuth, parse_credentials, write_auth_files

URL = "https://git.example/team/module"
KEY = {"ssh-privatekey": "-----BEGIN", "known_hosts": "git.example ssh-ed25519 AAAA"}


@pytest.mark.parametrize(
    ("values", "url", "expected"),
    [
        ({"username": "bob", "password": "pw"}, URL, Credentials("bob", "pw")),
        ({"token": "t"}, URL, Credentials("x-access-token", "t")),
        ({"token": "t"}, "https://bitbucket.org/team/module", Credentials("x-token-auth", "t")),
        ({"token": "t", "username": "bob"}, URL, Credentials("bob", "t")),
        (KEY, "ssh://git@git.example/x", Credentials(private_key="-----BEGIN", known_hosts=KEY["known_hosts"])),
    ],
)
def test_a_secret_holds_credentials_in_one_of_three_forms(
    values: dict[str, str], url: str, expected: Credentials
) -> None:
    assert parse_credentials(values, url) == expected


@pytest.mark.parametrize(
    "values", [{}, {"username": "bob"}, {"password": "pw"}, {"ssh-privatekey": "x"}, {"token": ""}]
)
def test_an_incomplete_secret_is_refused_with_the_forms(values: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="username and password, or token, or ssh-privatekey and known_hosts"):
        parse_credentials(values, URL)


def _run_askpass(program: str, access: GitAuth, prompt: str) -> str:
    return subprocess.run(
        [program, prompt], env=dict(access.environment), check=True, capture_output=True, text=True
    ).stdout.removesuffix("\n")


def test_a_password_is_shown_by_a_program_that_lives_as_long_as_the_call(tmp_path: Path) -> None:
    with write_auth_files(Credentials("bob", "p'w\"$x"), tmp_path) as access:
        program = access.environment["GIT_ASKPASS"]
        assert [_run_askpass(program, access, prompt) for prompt in ("Username for x", "Password for x")] == [
            "bob",
            "p'w\"$x",
        ]
        assert "p'w" not in Path(program).read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_a_file_for_its_owner_with_hosts_that_are_checked(tmp_path: Path) -> None:
    with write_auth_files(Credentials(private_key="KEY\r\nEND", known_hosts="host key"), tmp_path) as access:
        (folder,) = tmp_path.iterdir()
        key = folder / "key"
        assert key.read_text() == "KEY\nEND\n"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        command = access.environment["GIT_SSH_COMMAND"]
        assert f"-i {key}" in command
        assert f"UserKnownHostsFile={folder / 'known_hosts'}" in command
        assert "StrictHostKeyChecking=yes" in command
        assert "BatchMode=yes" in command
    assert list(tmp_path.iterdir()) == []


def test_without_credentials_nothing_is_written(tmp_path: Path) -> None:
    with write_auth_files(NO_CREDENTIALS, tmp_path) as access:
        assert list(tmp_path.iterdir()) == []
        assert "GIT_ASKPASS" not in access.environment


def test_credentials_do_not_show_in_their_own_representation() -> None:
    assert "sesame" not in repr(Credentials("bob", "sesame", "sesame"))
