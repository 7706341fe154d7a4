"""What a pipeline stage has around it: paths of variables, and a line of progress."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

DEFAULTS: dict[str, Any] = {"epochs": 30, "test_share": 0.3, "seed": 1}


def variable(name: str) -> Path:
    return Path(os.environ[f"UNIP_PIPELINE_{name.upper()}"])


def options() -> dict[str, Any]:
    """The caller's options over the defaults; the variable is unset when none were given."""
    given = os.environ.get("UNIP_PIPELINE_OPTIONS")
    found = json.loads(Path(given).read_text()) if given else {}
    if unknown := sorted(set(found) - set(DEFAULTS)):
        raise SystemExit(f"unknown option {unknown[0]!r}; there are {', '.join(DEFAULTS)}")
    return {**DEFAULTS, **found}


def progress(done: int, total: int) -> None:
    file = os.environ.get("MLMESH_PROGRESS")
    if file:
        Path(file).write_text(f"{done}/{total}\n")
