"""The system library inside foreign images: a read-only volume with its files, one for each version of them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import aiodocker
import mlmesh_component

ENTRY = "from mlmesh_component.__main__ import main\n\nraise SystemExit(main())\n"


def files() -> dict[str, bytes]:
    """What goes to `/opt/mlmesh`: `serve.py` and the package."""
    package = Path(mlmesh_component.__file__).parent
    found = {f"mlmesh_component/{path.relative_to(package)}": path.read_bytes() for path in package.rglob("*.py")}
    beside = package.parent / "serve.py"
    return {**found, "serve.py": beside.read_bytes() if beside.exists() else ENTRY.encode()}


def volume() -> str:
    mark = hashlib.sha256()
    for name, content in sorted(files().items()):
        mark.update(name.encode() + b"\0" + content)
    return f"mlmesh-component-{mark.hexdigest()[:16]}"


def packed() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in sorted(files().items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


async def fill(docker: aiodocker.Docker, image: str) -> None:
    """Make the volume and put the files in, through a container of `image` that is never started.

    Writing the same files again is harmless, so an interrupted filling is simply done again.
    """
    name = volume()
    body: dict[str, Any] = {"Image": image, "Entrypoint": ["true"], "HostConfig": {"Binds": [f"{name}:/opt/mlmesh"]}}
    container = await docker.containers.create(body)
    try:
        await container.put_archive("/opt/mlmesh", packed())  # type: ignore[no-untyped-call]  # the library has no types here
    finally:
        await container.delete(force=True)
