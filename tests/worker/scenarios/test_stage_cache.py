"""The stage cache: a stage with the same key is not run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.worker.files.cache_key import hash_path, stage_cache_key
from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import list_task_folders, run_worker
from tests.worker.specs import INPUT, OUTPUT, VALUE, make_stage_spec

SCRIPT = """
import os, pathlib
print('at work')
text = pathlib.Path(os.environ['UNIP_PIPELINE_DATA_IN']).read_text()
pathlib.Path(os.environ['UNIP_PIPELINE_OUT'], 'x').write_text(text)
"""


async def run_stage(mesh: FakeMesh, folder: Path, task: str, cache: str = "read", **over: Any) -> dict[str, Any]:
    """Run a stage; return its report."""
    inputs = {"inputs": [INPUT, VALUE], "outputs": [OUTPUT], "cache": cache, **over}
    mesh.add_stage(task, SCRIPT, **inputs)
    async with run_worker(mesh, folder):
        await mesh.wait_until(lambda: any(report["task"] == task for report in mesh.reports))
    return next(report for report in mesh.reports if report["task"] == task)


async def test_a_stage_that_may_be_used_again_says_what_it_is_made_of(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.files["b/g/a.csv"] = b"ab"
    first = await run_stage(mesh, tmp_path / "1", "t1")
    assert (first["outcome"], first["content"]) == ("succeeded", mesh.reuse_queries[0])
    assert len(first["outputs"]["out"]["sha256"]) == 64
    assert (await run_stage(mesh, tmp_path / "2", "t2"))["content"] == first["content"]
    assert (await run_stage(mesh, tmp_path / "3", "t3", cache="off"))["content"] is None
    changes: list[dict[str, Any]] = [
        {"env": {"A": "1"}},
        {"inputs": [INPUT, VALUE.model_copy(update={"value": 1})]},
        {"secrets": ["s"]},
        {"stage": "other"},
    ]
    for number, change in enumerate(changes):
        other = await run_stage(mesh, tmp_path / f"o{number}", f"o{number}", **change)
        assert other["content"] != first["content"]
    mesh.files["b/g/a.csv"] = b"abc"
    assert (await run_stage(mesh, tmp_path / "4", "t4"))["content"] != first["content"]


async def test_what_was_made_before_is_not_run_again_unless_it_is_to_be_refreshed(
    mesh: FakeMesh, tmp_path: Path
) -> None:
    mesh.files["b/g/a.csv"] = b"ab"
    first = await run_stage(mesh, tmp_path / "1", "t1")
    mesh.cached_keys.add(first["content"])
    mesh.add_stage("t2", SCRIPT, inputs=[INPUT, VALUE], outputs=[OUTPUT], cache="read")
    async with run_worker(mesh, tmp_path / "2"):
        await mesh.wait_until(lambda: len(mesh.reuse_queries) == 2)
        await mesh.wait_until(lambda: not list_task_folders(tmp_path / "2"))
    assert ("log-t2" in mesh.logs, [report["task"] for report in mesh.reports]) == (False, ["t1"])
    refreshed = await run_stage(mesh, tmp_path / "3", "t3", cache="refresh")
    assert (refreshed["outcome"], refreshed["content"], len(mesh.reuse_queries)) == ("succeeded", first["content"], 2)


KEYS = {
    (): "1b79840006d8b91444e787d0f9c676fdeb3b1041fac475f539a178e35f435d97",
    ("s",): "738ae076060d33b4f2a011911e816fd593ced310c6aed8d17bfdb5811da7f1d7",
}
"""Keys of stages with at most one Secret, as in version 0.1: earlier results stay usable."""


def make_key(**over: Any) -> str:
    spec = make_stage_spec(**{"stage": "one", "outputs": [OUTPUT], "env": {"A": "1"}, **over})
    return stage_cache_key(spec, "sha256:1", {}, commit=None)


@pytest.mark.parametrize(("secrets", "expected"), KEYS.items())
def test_the_key_of_a_stage_with_one_secret_at_most_stays_as_it_was(secrets: tuple[str, ...], expected: str) -> None:
    assert make_key(secrets=list(secrets)) == expected


def test_the_order_of_secrets_is_a_part_of_what_a_stage_is_made_of() -> None:
    assert len({make_key(secrets=names) for names in (["a", "b"], ["b", "a"], ["a", "b", "a"], ["a"])}) == 4


def test_values_of_config_maps_count() -> None:
    sources_lists: Any = (
        [],
        [{"values": {"A": "1"}}],
        [{"values": {"A": "2"}}],
        [{"values": {"A": "2"}}, {"secret": "s"}],
    )
    assert len({make_key(env_from=sources) for sources in sources_lists}) == 4
    assert make_key(env_from=[]) == make_key()


def test_a_path_is_its_names_and_contents(tmp_path: Path) -> None:
    def folder(name: str, **files: str) -> Path:
        for file, text in files.items():
            target = tmp_path / name / "sub" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return tmp_path / name

    assert hash_path(folder("1", a="x", b="y")) == hash_path(folder("2", b="y", a="x"))
    hashes = {
        hash_path(folder("3", a="x")),
        hash_path(folder("4", b="x")),
        hash_path(folder("5", a="y")),
        hash_path(tmp_path),
    }
    assert len(hashes) == 4
    assert hash_path(tmp_path / "3" / "sub" / "a") != hash_path(tmp_path / "4" / "sub" / "b")


@pytest.mark.parametrize("cache", ["read", "refresh"])
async def test_a_failure_is_not_kept(mesh: FakeMesh, tmp_path: Path, cache: str) -> None:
    mesh.files["b/g/a.csv"] = b"ab"
    mesh.add_stage("t1", "raise SystemExit(3)", inputs=[INPUT], outputs=[OUTPUT], cache=cache)
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["content"]) == ("failed", None)
