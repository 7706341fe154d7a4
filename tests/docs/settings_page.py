"""docs/settings.md, made from the Settings' fields: `python -m tests.docs.settings_page > docs/settings.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from libs.common.settings import PREFIX, Settings

HEAD = """\
# Settings

Read once from the environment. `MLMESH_X_FILE` names a file that holds the value of `MLMESH_X`. A variable that starts
with `MLMESH_` and is not in this table is a warning; a bad value is an error that names it. `mlmesh up` sets what its
options say and makes the tokens and the key itself.

| variable | default | meaning |
|---|---|---|
"""
TAIL = """
The [command line](command-line.md)'s client reads `MLMESH_URL` and `MLMESH_TOKEN` (else what
`mlmesh up` or `mlmesh login` wrote into the user's configuration folder), and honours `NO_COLOR`.

Durations are written `15s`, `500ms`, `2m`, or as a number of seconds; sizes `500M`, `100G`, `1GiB`, or as a number of
bytes.

## Containers and the gateway

A component fetches and stores the files of a call at `MLMESH_URL` in its environment, which the worker sets. A
gateway that is a container of the same engine (label `mlmesh.service=gateway`, as in docker-compose.yml) is joined to
the networks of apps. Where `MLMESH_PUBLIC_URL` names a loopback address, as in `mlmesh up --runtime docker` and for
services that are started one by one on one host, the worker listens at the host's address in each app's network (port
8020, or the next that is free) and passes connections on to the gateway, which need not listen anywhere else.
Otherwise containers go to `MLMESH_PUBLIC_URL`, so the gateway must be reached at it from the networks in
`MLMESH_APP_SUBNETS`.

The worker asks from the first container of each network. If the gateway is not reached, `/readyz` of the worker (part
`gateway`) and its log say so; most often a firewall of the host refuses connections from the networks of apps.

## Where repositories may be

Whoever owns an app writes the address of its repository, and the registry goes there, for its commits and to show what
became of them. So it goes only where
`MLMESH_REPOSITORY_FOLDERS` (`file://`) and `MLMESH_REPOSITORY_NETWORKS` (hosts) let it, both in `mlmesh up` and where
services run one by one. Public addresses are always allowed, link-local ones (169.254.0.0/16, where a cloud tells a
host's credentials) only when they are listed. A list replaces the default; `MLMESH_REPOSITORY_NETWORKS=` with nothing
behind it leaves public addresses only.

- A mesh that listens on a loopback address may ask hosts on the loopback: whoever reaches it is on this host. One that
  others reach (`--host 0.0.0.0`) must be told: `MLMESH_REPOSITORY_NETWORKS=10.0.0.0/8,127.0.0.0/8`.
- With a proxy in the environment (`https_proxy`), hosts that only the proxy can find are left to it.
- Git before 2.37 cannot be held to the address that was judged (`https://`, `http://`); the registry's log says so.

## Containers and their host

Containers have no privileges and a share of the host's memory. A routing rule of the host (`ip rule`, priority 100)
refuses what goes from `MLMESH_APP_SUBNETS`, and from the engine's default network, in which images are built, to
169.254.0.0/16, where a cloud tells whoever asks from a host that
host's credentials; `MLMESH_LINK_LOCAL=true` takes it away. It stays until the host restarts. Where a worker cannot
make it (an engine without root, another processor than x86-64), its log says so, and the cloud's own guard (hop limit
1 on EC2) is what is left.
"""


def page() -> str:
    return HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items()) + TAIL


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {field.description} |\n"


def _default(value: Any) -> str:
    if value is PydanticUndefined or value in (None, "", (), {}):
        return ""
    if isinstance(value, Path | int | float | str):
        return f"`{value}`"
    return f"`{','.join(map(str, value))}`"


if __name__ == "__main__":
    sys.stdout.write(page())
