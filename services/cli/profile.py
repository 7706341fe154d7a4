"""Which mesh to speak to, and as whom: an option, the environment, or what `mlmesh up` or `mlmesh login` wrote down."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.cli.failure import Failure, WrongUsage

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Profile:
    url: str
    token: str


def file(environ: Mapping[str, str]) -> Path:
    folder = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home()) / ".config"
    return Path(folder) / "mlmesh" / "config.json"


def load(environ: Mapping[str, str], url: str | None = None) -> Profile:
    """A token that was written down goes only to the address that it was written down with."""
    written = _read(file(environ))
    address = (url or environ.get("MLMESH_URL") or written.url or DEFAULT_URL).rstrip("/")
    if not is_address(address):
        raise WrongUsage(f"{address} is not an address of a mesh; write http://host:port")
    token = (environ.get("MLMESH_TOKEN") or (written.token if written.url == address else "")).strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise WrongUsage("MLMESH_TOKEN holds characters that no token has; set it to the token alone")
    return Profile(address, token)


def is_address(text: str) -> bool:
    """Whether `text` is `http://host:port`, perhaps with a path below which the mesh answers."""
    try:
        parts = urlsplit(text)
        return bool(re.fullmatch(r"https?://[!-~]+", text) and parts.hostname and (parts.port is None or parts.port))
    except ValueError:
        return False


def save(environ: Mapping[str, str], profile: Profile) -> Path:
    """Readable by this user alone; replaced as a whole."""
    path = file(environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.touch(0o600)
    new.write_text(json.dumps({"url": profile.url, "token": profile.token}, indent=2) + "\n")
    new.replace(path)
    return path


def _read(path: Path) -> Profile:
    try:
        written = json.loads(path.read_text())
        return Profile(str(written["url"]).rstrip("/"), str(written["token"]))
    except FileNotFoundError:
        return Profile("", "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path} cannot be read; write it anew with: mlmesh login") from error
