"""Address and token of the mesh: from an option, the environment, or the file of `mlmesh up` and `mlmesh login`.

The file holds a token per mesh, and which mesh is the default.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.cli.cli_errors import Failure, WrongUsage

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Profile:
    url: str
    token: str


def config_file(environ: Mapping[str, str]) -> Path:
    folder = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home()) / ".config"
    return Path(folder) / "mlmesh" / "config.json"


def load_default(environ: Mapping[str, str]) -> Profile:
    """The default mesh of the file; without an address if there is none."""
    config = _read_config(config_file(environ))
    return Profile(config.url, config.tokens.get(config.url, ""))


def load_profile(environ: Mapping[str, str], url: str | None = None) -> Profile:
    """A stored token is sent only to the address it was stored with."""
    config = _read_config(config_file(environ))
    address = (url or environ.get("MLMESH_URL") or config.url or DEFAULT_URL).rstrip("/")
    if not is_mesh_url(address):
        raise WrongUsage(f"{address} is not an address of a mesh; write http://host:port")
    token = (environ.get("MLMESH_TOKEN") or config.tokens.get(address, "")).strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise WrongUsage("MLMESH_TOKEN holds characters that no token has; set it to the token alone")
    return Profile(address, token)


def is_mesh_url(text: str) -> bool:
    """Whether `text` is `http://host:port`, optionally with a base path."""
    try:
        parts = urlsplit(text)
        return bool(re.fullmatch(r"https?://[!-~]+", text) and parts.hostname and (parts.port is None or parts.port))
    except ValueError:
        return False


def save_profile(environ: Mapping[str, str], profile: Profile, *, current: bool = True) -> Path:
    """Store a mesh, as the default if it is `current`. The file is readable by this user only (0600).

    A stored address with the same token is replaced: the mesh has moved.
    """
    path = config_file(environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        config = _read_config(path)
    except Failure:  # the file is written again
        config = _ConfigFile("", {})
    other_tokens = {url: token for url, token in config.tokens.items() if token != profile.token}
    url = config.url if not current and config.url in other_tokens else profile.url
    _write_config(path, url, {**other_tokens, profile.url: profile.token})
    return path


def forget_token(environ: Mapping[str, str], url: str) -> None:
    """Remove the token that is stored with an address, if there is one."""
    path = config_file(environ)
    config = _read_config(path)
    if url in config.tokens:
        _write_config(path, config.url, {address: token for address, token in config.tokens.items() if address != url})


def _write_config(path: Path, url: str, tokens: Mapping[str, str]) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.touch(0o600)
    new.write_text(json.dumps({"url": url, "tokens": dict(tokens)}, indent=2) + "\n")
    new.replace(path)


@dataclass(frozen=True)
class _ConfigFile:
    url: str
    tokens: Mapping[str, str]
    """Token of each mesh, by address."""


def _read_config(path: Path) -> _ConfigFile:
    try:
        document = json.loads(path.read_text())
        url = str(document["url"]).rstrip("/")
        tokens = document["tokens"] if "tokens" in document else {url: document["token"]}  # format of release 0.1
        return _ConfigFile(url, {str(address): str(token) for address, token in tokens.items()})
    except FileNotFoundError:
        return _ConfigFile("", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{path} cannot be read; write it anew with: mlmesh login URL") from error
