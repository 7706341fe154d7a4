"""Tests lie where the module lies that they test, and a unit test imports little besides that module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "cli": "services/cli",
    "common": "libs/common",
    "component": "libs/component/mlmesh_component",
    "databox": "services/databox",
    "gateway": "services/gateway",
    "registry": "services/registry",
    "scheduler": "services/scheduler",
    "worker": "services/worker",
}
"""Folders below `tests`, and the packages whose tests they hold."""
SLOW_IMPORTS = {"aiohttp", "aio_pika", "asyncpg", "fastapi", "hypothesis", "minio", "sqlalchemy", "uvicorn"}


def module_of(test: Path, source: Path) -> Path:
    """The module (without `.py`) or package that a file of tests, relative to its folder, is named after."""
    return source / test.parent / test.stem.removeprefix("test_")


@pytest.mark.parametrize("folder", SOURCES)
def test_each_file_of_tests_is_named_after_a_module_or_is_a_scenario(folder: str) -> None:
    tests = [path.relative_to(ROOT / "tests" / folder) for path in (ROOT / "tests" / folder).rglob("test_*.py")]
    modules = {test: module_of(test, ROOT / SOURCES[folder]) for test in tests if test.parts[0] != "scenarios"}
    astray = [
        str(test) for test, module in modules.items() if not (module.is_dir() or module.with_suffix(".py").is_file())
    ]
    assert tests
    assert not astray, f"name it after its module, or move it to tests/{folder}/scenarios: {', '.join(astray)}"


def test_conftest_leaves_slow_imports_to_its_fixtures() -> None:
    files = (ROOT / "tests" / folder / "conftest.py" for folder in ("", *SOURCES))
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.exists()]
    program = f"import sys, {', '.join(modules)}; print(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {"pytest", "tests"} <= imported
    assert not SLOW_IMPORTS & imported, "import these in the fixtures that need them"
