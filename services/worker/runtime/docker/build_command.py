"""The engine's own command that builds images, with BuildKit: found once, and its arguments. Pure but for the search.

A client of version 23 or later needs the plugin buildx; an older one has BuildKit in it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.worker.runtime.image_build import ImageBuild

FIRST_WITH_PLUGIN = 23
"""The first version of the client that leaves BuildKit to the plugin."""
VERSION = re.compile(r"version (\d+)\.")
USUAL_FOLDERS = ("/usr/bin", "/usr/local/bin")
PROBE_TIMEOUT_S = 10.0
CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"
"""The argument of BuildKit that separates caches: without it one app reads those of another."""


@dataclass(frozen=True)
class BuildCommand:
    """The words that begin a build, such as `docker buildx build`."""

    words: tuple[str, ...]

    def list_arguments(self, build: ImageBuild) -> list[str]:
        """The whole command line."""
        pairs = [
            *(("--label", f"{name}={value}") for name, value in build.labels.items()),
            ("--build-arg", f"{CACHE_NAMESPACE}={build.app}"),
            *(("--build-arg", f"{name}={value}") for name, value in build.args.items() if name != CACHE_NAMESPACE),
            *(("--secret", f"id={name},src={path}") for name, path in build.secrets.items()),
            *([] if build.has_network else [("--network", "none")]),
        ]
        options = ["--progress=plain", "--file", str(build.dockerfile), "--tag", build.tag]
        return [*self.words, *options, *(word for pair in pairs for word in pair), str(build.context)]


async def find_build_command() -> BuildCommand | None:
    """The first client on this host that can build with BuildKit; None without one."""
    for client in _iter_clients():
        if await _run_probe(client, "buildx", "version") is not None:
            return BuildCommand((client, "buildx", "build", "--builder", "default", "--load"))
        match = VERSION.search(await _run_probe(client, "--version") or "")
        if match is not None and int(match[1]) < FIRST_WITH_PLUGIN:
            return BuildCommand((client, "build"))
    return None


def _iter_clients() -> Iterator[str]:
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *USUAL_FOLDERS]
    for folder in dict.fromkeys(filter(None, folders)):
        if os.access(client := Path(folder) / "docker", os.X_OK):
            yield str(client)


async def _run_probe(*command: str) -> str | None:
    """What the command writes; None when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return output.decode(errors="replace") if process.returncode == 0 else None


def build_environment(variables: Mapping[str, str], engine: str) -> dict[str, str]:
    """The environment of the command: without the mesh's settings, which contain its keys."""
    passed = {name: value for name, value in variables.items() if not name.startswith("MLMESH_")}
    return {**passed, "DOCKER_HOST": engine, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
