"""Git credentials from a Secret: passed by an askpass script or a key file, never as an argument or in an error."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from libs.common.errors import Invalid

SSH_COMMAND = (
    "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=10"
)
SSH_COMMAND += " -o ServerAliveInterval=5 -o ServerAliveCountMax=4"
ASKPASS_SCRIPT = """\
#!/bin/sh
case "$1" in
Username*) printf '%s\\n' "$MLMESH_GIT_USERNAME" ;;
*) printf '%s\\n' "$MLMESH_GIT_PASSWORD" ;;
esac
"""


@dataclass(frozen=True)
class Credentials:
    """Empty fields are not used; a private key needs known_hosts."""

    username: str = ""
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    known_hosts: str = ""


NO_CREDENTIALS = Credentials()


@dataclass(frozen=True)
class GitAuth:
    """Environment variables for Git, and texts that errors must not contain."""

    environment: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()


def parse_credentials(values: Mapping[str, str], url: str) -> Credentials:
    """`username` + `password`, `token`, or `ssh-privatekey` + `known_hosts`. Raises Invalid when none is complete."""
    if values.get("ssh-privatekey") and values.get("known_hosts"):
        return Credentials(private_key=values["ssh-privatekey"], known_hosts=values["known_hosts"])
    if values.get("token"):
        return Credentials(values.get("username") or _default_token_user(url), values["token"])
    if values.get("username") and "password" in values:
        return Credentials(values["username"], values["password"])
    raise Invalid("Git credentials are username and password, or token, or ssh-privatekey and known_hosts")


def _default_token_user(url: str) -> str:
    """Forges accept any user name with a token; Bitbucket requires this one."""
    host = urlsplit(url).hostname or ""
    return "x-token-auth" if host == "bitbucket.org" else "x-access-token"


@contextmanager
def write_auth_files(credentials: Credentials, home: Path, ssh_options: Sequence[str] = ()) -> Iterator[GitAuth]:
    """Write the files for one Git command; they are deleted at its end. `ssh_options` are added to ssh."""
    command = " ".join((SSH_COMMAND, *(f"-o {shlex.quote(option)}" for option in ssh_options)))
    if credentials == NO_CREDENTIALS:
        yield GitAuth({"GIT_SSH_COMMAND": command})
        return
    with tempfile.TemporaryDirectory(prefix="access-", dir=home) as name:
        folder = Path(name)
        yield (
            _write_key_files(credentials, folder, command)
            if credentials.private_key
            else _write_askpass(credentials, folder, command)
        )


def _write_key_files(credentials: Credentials, folder: Path, command: str) -> GitAuth:
    key, hosts = folder / "key", folder / "known_hosts"
    key.touch(mode=0o600)
    key.write_text(credentials.private_key.replace("\r\n", "\n").rstrip("\n") + "\n")
    hosts.write_text(credentials.known_hosts + "\n")
    options = f"-i {shlex.quote(str(key))} -o {shlex.quote(f'UserKnownHostsFile={hosts}')}"
    return GitAuth({"GIT_SSH_COMMAND": f"{command} {options} -o GlobalKnownHostsFile=/dev/null"}, (str(folder),))


def _write_askpass(credentials: Credentials, folder: Path, command: str) -> GitAuth:
    program = folder / "askpass"
    program.touch(mode=0o700)
    program.write_text(ASKPASS_SCRIPT)
    environment = {
        "GIT_SSH_COMMAND": command,
        "GIT_ASKPASS": str(program),
        "MLMESH_GIT_USERNAME": credentials.username,
        "MLMESH_GIT_PASSWORD": credentials.password,
    }
    return GitAuth(environment, (str(folder), credentials.password))
