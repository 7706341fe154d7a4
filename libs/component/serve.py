"""Starts the component runtime in a foreign image: `python3 /opt/mlmesh/serve.py`.

What lies beside this file is the platform's and stays out of the way of the module's own packages: the runtime and,
where there are builds for this interpreter (`lib/cp311-gnu-x86_64`), its accelerators are imported first; then this
folder leaves the import path and the working directory takes the first place. The module's own versions win.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys

OWN = os.path.dirname(os.path.abspath(__file__))


def _libc() -> str:
    try:
        return "gnu" if os.confstr("CS_GNU_LIBC_VERSION") else "musl"
    except (ValueError, OSError):
        return "musl"


def _accelerators() -> str:
    version = "cp{}{}".format(*sys.version_info[:2])
    return os.path.join(OWN, "lib", "-".join((version, _libc(), platform.machine())))


def _import_runtime() -> object:
    """The runtime's entry, with everything that it needs already imported."""
    outside = [path for path in sys.path if path and os.path.abspath(path) not in (OWN, os.getcwd())]
    sys.path[:] = [OWN, *outside, _accelerators()]
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
