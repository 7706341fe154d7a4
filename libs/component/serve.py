"""Starts the component runtime in a foreign image: `python3 /opt/mlmesh/serve.py`.

The packages beside this file must not shadow those of the module: the runtime and, if there are builds for this
interpreter (`lib/cp311-gnu-x86_64`), its accelerators are imported first; then this folder is removed from the import
path, and the working directory becomes its first entry. Versions that the module has installed win.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys

RUNTIME_FOLDER = os.path.dirname(os.path.abspath(__file__))


def _libc() -> str:
    try:
        return "gnu" if os.confstr("CS_GNU_LIBC_VERSION") else "musl"
    except (ValueError, OSError):
        return "musl"


def _accelerator_folder() -> str:
    version = "cp{}{}".format(*sys.version_info[:2])
    return os.path.join(RUNTIME_FOLDER, "lib", "-".join((version, _libc(), platform.machine())))


def _import_runtime() -> object:
    """Import the runtime with everything that it needs, then restore the import path of the module."""
    outside = [path for path in sys.path if path and os.path.abspath(path) not in (RUNTIME_FOLDER, os.getcwd())]
    sys.path[:] = [RUNTIME_FOLDER, *outside, _accelerator_folder()]
    for name in ("orjson", "httptools", "uvloop"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    entry = importlib.import_module("mlmesh_component.__main__")
    sys.path[:] = [os.getcwd(), *outside]
    return entry


if __name__ == "__main__":
    entry = _import_runtime()
    entry.exit_process(entry.main())  # type: ignore[attr-defined]
