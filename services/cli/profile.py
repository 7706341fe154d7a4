"""Which mesh to speak to, and as whom: an option, the environment, or what `mlmesh up` or `mlmesh login` wrote down.

The file knows several meshes, each with its token; one of them is spoken to when no address is given.
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
    """The mesh that commands speak to when nothing else is said; without an address when there is none."""
    config = _read_config(config_file(environ))
    return Profile(config.url, config.tokens.get(config.url, ""))


def load_profile(environ: Mapping[str, str], url: str | None = None) -> Profile:
    """A token that was written down goes only to the address that it was written down with."""
    config = _read_config(config_file(environ))
    address = (url or environ.get("MLMESH_URL") or config.url or DEFAULT_URL).rstrip("/")
    if not is_mesh_url(address):
        raise WrongUsage(f"{address} is not an address of a mesh; write http://host:port")
    token = (environ.get("MLMESH_TOKEN") or config.tokens.get(address, "")).strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise WrongUsage("MLMESH_TOKEN holds characters that no token has; set it to the token alone")
    return Profile(address, token)


def is_mesh_url(text: str) -> bool:
    """Whether `text` is `http://host:port`, perhaps with a path below which the mesh answers."""
    try:
        parts = urlsplit(text)
        return bool(re.fullmatch(r"https?://[!-~]+", text) and parts.hostname and (parts.port is None or parts.port))
    except ValueError:
        return False


def save_profile(environ: Mapping[str, str], profile: Profile, *, current: bool = True) -> Path:
    """Add a mesh, as the one that commands speak to when it is `current`. Readable by this user alone.

    The same token elsewhere is the same mesh that has moved.
    """
    path = config_file(environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        config = _read_config(path)
    except Failure:  # it is written anew
        config = _ConfigFile("", {})
    other_tokens = {url: token for url, token in config.tokens.items() if token != profile.token}
    url = config.url if not current and config.url in other_tokens else profile.url
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.touch(0o600)
    new.write_text(json.dumps({"url": url, "tokens": {**other_tokens, profile.url: profile.token}}, indent=2) + "\n")
    new.replace(path)
    return path


@dataclass(frozen=True)
class _ConfigFile:
    url: str
    tokens: Mapping[str, str]
    """Of each mesh that is known, by its address."""


def _read_config(path: Path) -> _ConfigFile:
    try:
        document = json.loads(path.read_text())
        url = str(document["url"]).rstrip("/")
        tokens = document["tokens"] if "tokens" in document else {url: document["token"]}  # as 0.1 wrote it
        return _ConfigFile(url, {str(address): str(token) for address, token in tokens.items()})
    except FileNotFoundError:
        return _ConfigFile("", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{path} cannot be read; write it anew with: mlmesh login URL") from error
